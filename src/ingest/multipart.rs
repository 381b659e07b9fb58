//! Uploads as `multipart/form-data`, as a browser's form sends them: the file's part as a stream, never in memory.
