"""Where bytes come from and go to: local files, and objects of S3, GCS, Azure and HTTP servers, behind one small interface."""
