module github.com/cgs3fs/cgs3fs

go 1.26.0
