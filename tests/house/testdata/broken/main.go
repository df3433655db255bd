package main

import _ "github.com/cgs3fs/cgs3fs/s3"

func main() {}
