package harness

import "encoding/json"

// VCAP is the document that Cloud Foundry would put into VCAP_SERVICES for an
// app bound to a bucket of this server, as Cloud.gov's broker writes it.
func (s *Server) VCAP(bucket string) string {
	type credentials struct {
		AccessKeyID       string   `json:"access_key_id"`
		SecretAccessKey   string   `json:"secret_access_key"`
		Bucket            string   `json:"bucket"`
		Region            string   `json:"region"`
		Endpoint          string   `json:"endpoint"`
		AdditionalBuckets []string `json:"additional_buckets"`
	}
	type service struct {
		Name        string      `json:"name"`
		Label       string      `json:"label"`
		Plan        string      `json:"plan"`
		Tags        []string    `json:"tags"`
		Credentials credentials `json:"credentials"`
	}
	doc, err := json.Marshal(map[string][]service{"s3": {{
		Name: "storage", Label: "s3", Plan: "basic", Tags: []string{"s3"},
		Credentials: credentials{
			AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey, Bucket: bucket,
			Region: Region, Endpoint: s.Endpoint, AdditionalBuckets: []string{},
		},
	}}})
	if err != nil {
		panic(err) // strings are always JSON
	}
	return string(doc)
}
