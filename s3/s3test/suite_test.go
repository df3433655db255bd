package s3test

import (
	"testing"

	"github.com/cgs3fs/cgs3fs/s3"
)

func TestMemConforms(t *testing.T) {
	Run(t, func(*testing.T) s3.Bucket { return NewMem(MemConfig{}) }, Features{})
}

func TestMemVariantsConform(t *testing.T) {
	cfg := MemConfig{WholeSecond: true, MinPartSize: 1, OpaqueETags: true, Checksums: true, MaxPage: 1000}
	Run(t, func(*testing.T) s3.Bucket { return NewMem(cfg) }, Features{NoMD5: true, SmallParts: true})
}

func TestFaultyWithoutFaultsConforms(t *testing.T) {
	Run(t, func(*testing.T) s3.Bucket { return NewFaulty(NewMem(MemConfig{}), Plan{}) }, Features{})
}
