// Package conformance holds the S3 client to the suite that the in-memory
// bucket passes as well, over a real server: what the unit tests rely on in the
// one is true of the other.
package conformance

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/cgs3fs/cgs3fs/s3"
	"github.com/cgs3fs/cgs3fs/s3/s3test"
	"github.com/cgs3fs/cgs3fs/tests/harness"
)

func TestRealServerBehavesLikeS3(t *testing.T) {
	for name, checksums := range map[string]s3.Choice{"no checksums": s3.Never, "checksums": s3.Always} {
		t.Run(name, func(t *testing.T) {
			server := harness.NewServer(t)
			open := func(t *testing.T) s3.Bucket {
				client, err := s3.Open(s3.Config{
					Bucket: server.Bucket(t).Bucket, Region: harness.Region, Endpoint: server.Endpoint, Checksums: checksums,
					Credentials: credentials.NewStaticCredentialsProvider(server.AccessKey, server.SecretKey, ""),
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := client.Check(t.Context()); err != nil {
					t.Fatal(err)
				}
				return client
			}
			// versitygw keeps objects as files, versions only if told to, and ignores
			// storage classes and conditions on the destination of a copy.
			s3test.Run(t, open, s3test.Features{
				PathKeys: true, NoVersions: true, NoCopyCond: true, NoStorageClass: true, NoKeyEncoding: true, CopyOntoMerges: true,
				WrongCopiedSums: checksums == s3.Always,
			})
		})
	}
}
