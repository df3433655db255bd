package harness

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// WritePattern writes content that is mostly zeros, so that the server's disk can
// hold it, but with the position in every 4 KiB, so that nothing can change
// places unnoticed.
func WritePattern(w io.Writer, size int64) error {
	block := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(block)) {
		for i := 0; i < len(block); i += 4096 {
			binary.BigEndian.PutUint64(block[i:], uint64(off)+uint64(i)+1)
		}
		if _, err := w.Write(block[:min(int64(len(block)), size-off)]); err != nil {
			return err
		}
	}
	return nil
}

// CheckPattern reads what WritePattern wrote, to the end.
func CheckPattern(r io.Reader, size int64) error {
	block := make([]byte, 1<<20)
	zeros := make([]byte, 4096)
	for off := int64(0); off < size; off += int64(len(block)) {
		if _, err := io.ReadFull(r, block[:min(int64(len(block)), size-off)]); err != nil {
			return fmt.Errorf("at %d: %w", off, err)
		}
		for i := 0; i < len(block); i += 4096 {
			page := block[i : i+4096]
			if at := binary.BigEndian.Uint64(page); at != uint64(off)+uint64(i)+1 || !bytes.Equal(page[8:], zeros[8:]) {
				return fmt.Errorf("the page at %d says it is the one at %d", off+int64(i), int64(at)-1)
			}
		}
	}
	if n, err := r.Read(block); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the end: %d bytes, %v", n, err)
	}
	return nil
}
