"""Sends a file by tuspy: upload.py ENDPOINT FILE CHUNK-BYTES STOP-AFTER. Without STOP-AFTER it goes to the end; with it, it ends after so
many bytes and prints where to go on, which the next run takes as ENDPOINT."""

import os
import sys

from tusclient import client

endpoint, path, chunk = sys.argv[1], sys.argv[2], int(sys.argv[3])
tus = client.TusClient(endpoint)
options = {"file_path": path, "chunk_size": chunk, "upload_checksum": True, "retries": 3, "retry_delay": 1}
if "/uploads/" in endpoint:
    uploader = tus.uploader(url=endpoint, **options)
else:
    uploader = tus.uploader(metadata={"filename": os.path.basename(path), "profile": "poster"}, **options)
if len(sys.argv) > 4:
    uploader.upload(stop_at=int(sys.argv[4]))
else:
    uploader.upload()
print(uploader.url, uploader.offset)
