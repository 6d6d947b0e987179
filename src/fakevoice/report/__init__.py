"""The report of a finished run: one HTML page in English and Korean.

- `tables`: numbers of a run as tables; `evidence`: clips with pictures and sound
- `chart_style`, `charts`, `curves`: figures
- `blocks`, `sections`: what a page consists of
- `html_page`: renders the page from `templates/`
"""
