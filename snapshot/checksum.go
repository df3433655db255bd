package snapshot

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"hash/crc64"
	"strings"
)

// checksumsDiffer says whether two checksums prove different contents. Of two
// algorithms, or where one is unknown, they prove nothing.
func checksumsDiffer(a, b string) bool {
	algorithmA, sumA, okA := strings.Cut(a, ":")
	algorithmB, sumB, okB := strings.Cut(b, ":")
	return okA && okB && algorithmA == algorithmB && sumA != sumB
}

// md5ETag returns the MD5 in hex that an ETag is in all likelihood: that of an
// object written in one piece. One encrypted by KMS looks the same and is not.
func md5ETag(etag string) (sum string, ok bool) {
	sum = strings.Trim(etag, `"`)
	if len(sum) != 2*md5.Size {
		return "", false
	}
	_, err := hex.DecodeString(sum)
	return sum, err == nil
}

// nvme is the polynomial of the CRC64NVME that S3 keeps of every object, from
// the NVM Express specification, bits reversed as hash/crc64 wants it.
const nvme = 0x9a6c9329ac4bc9b5

// crc64nvme computes what s3.Info.Checksum says with the algorithm "crc64nvme".
type crc64nvme struct{ hash.Hash64 }

func newCRC64NVME() crc64nvme {
	return crc64nvme{crc64.New(crc64.MakeTable(nvme))}
}

func (c crc64nvme) String() string {
	return "crc64nvme:" + base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, c.Sum64()))
}
