"""HTTP service: uploads and microphone streams → probabilities, as a page and as an API.

- `access`: Host, Origin and token checks; `connections`, `limits`: bounds on connections, memory and disk
- `uploads`: multipart requests → files; `scoring`: files → answers; `websocket`: streams
- `schema`: request and response types; `metrics`: Prometheus; `app`: the application; `page/`: the web page
"""
