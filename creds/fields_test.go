package creds

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFieldsOfEveryBroker(t *testing.T) {
	for _, tt := range []struct {
		name, json string
		isS3       bool
		want       fields
	}{
		{
			name: "cloud.gov now",
			json: `{"uri":"s3://AKIA1:a%2Fb%2Bc@s3-fips.us-gov-west-1.amazonaws.com/cf-1","insecure_skip_verify":false,"access_key_id":"AKIA1","secret_access_key":"a/b+c","region":"us-gov-west-1","bucket":"cf-1","endpoint":"s3-fips.us-gov-west-1.amazonaws.com","fips_endpoint":"s3-fips.us-gov-west-1.amazonaws.com","additional_buckets":["cf-3","cf-2"]}`,
			want: fields{access: "AKIA1", secret: "a/b+c", bucket: "cf-1", region: "us-gov-west-1", endpoint: "s3-fips.us-gov-west-1.amazonaws.com", fips: "s3-fips.us-gov-west-1.amazonaws.com", additional: []string{"cf-2", "cf-3"}, storage: true},
		},
		{
			name: "cloud.gov 2016-07, told by the key's form",
			json: `{"username":"AKIA1","password":"sec","name":"cf-1"}`,
			want: fields{access: "AKIA1", secret: "sec", bucket: "cf-1", storage: true},
		},
		{
			name: "cloud.gov 2016-07, told by the label", isS3: true,
			json: `{"username":"user","password":"sec","name":"cf-1"}`,
			want: fields{access: "user", secret: "sec", bucket: "cf-1", storage: true},
		},
		{
			name: "cloud.gov 2016-10, which the handbook used",
			json: `{"access_key_id":"AKIA1","secret_access_key":"sec","bucket":"cf-1","username":"cf-user"}`,
			want: fields{access: "AKIA1", secret: "sec", bucket: "cf-1", storage: true},
		},
		{
			name: "upper-case URI of 2017-11 alone",
			json: `{"URI":"s3://AKIA1:a%2Fb%2Bc@s3.us-gov-west-1.amazonaws.com/cf-1"}`,
			want: fields{access: "AKIA1", secret: "a/b+c", bucket: "cf-1", endpoint: "s3.us-gov-west-1.amazonaws.com", storage: true},
		},
		{
			name: "Cloud Service Broker",
			json: `{"access_key_id":"AKIA1","secret_access_key":"sec","bucket_name":"csb-1","region":"us-west-2","bucket_domain_name":"csb-1.s3.amazonaws.com","arn":"arn:aws:s3:::csb-1"}`,
			want: fields{access: "AKIA1", secret: "sec", bucket: "csb-1", region: "us-west-2", storage: true},
		},
		{
			name: "GOV.UK PaaS",
			json: `{"aws_access_key_id":"AKIA1","aws_secret_access_key":"sec","bucket_name":"paas","aws_region":"eu-west-2","deploy_env":"prod"}`,
			want: fields{access: "AKIA1", secret: "sec", bucket: "paas", region: "eu-west-2", storage: true},
		},
		{
			name: "Java s3-cf-service-broker",
			json: `{"access_key_id":"AKIA1","secret_access_key":"sec","bucket":"b","host":"s3.amazonaws.com","uri":"s3://AKIA1:sec@s3.amazonaws.com/b","username":"u"}`,
			want: fields{access: "AKIA1", secret: "sec", bucket: "b", endpoint: "s3.amazonaws.com", storage: true},
		},
		{
			name: "Swisscom without a bucket",
			json: `{"accessKeyID":"id","secretAccessKey":"sec","accessHost":"ds11.swisscom.com","namespaceHost":"ns"}`,
			want: fields{access: "id", secret: "sec", endpoint: "ds11.swisscom.com", storage: true},
		},
		{
			name: "user-provided, camel case, url as endpoint",
			json: `{"accessKey":"id","secretKey":"sec","Bucket":"b","url":"http://minio:9000"}`,
			want: fields{access: "id", secret: "sec", bucket: "b", endpoint: "http://minio:9000", storage: true},
		},
		{
			name: "AWS variables",
			json: `{"AWS_ACCESS_KEY_ID":"id","AWS_SECRET_ACCESS_KEY":"sec","AWS_SESSION_TOKEN":"tok","BUCKET_NAME":"b","AWS_DEFAULT_REGION":"r","AWS_ENDPOINT_URL_S3":"http://h"}`,
			want: fields{access: "id", secret: "sec", token: "tok", bucket: "b", region: "r", endpoint: "http://h", storage: true},
		},
		{
			name: "MinIO mode",
			json: `{"access_key_id":"id","secret_access_key":"sec","bucket":"b","endpoint":"s3.gdc.lan","fips_endpoint":"s3-fips.us-east-1.amazonaws.com","insecure_skip_verify":true,"region":"us-east-1","additional_buckets":null}`,
			want: fields{access: "id", secret: "sec", bucket: "b", region: "us-east-1", endpoint: "s3.gdc.lan", fips: "s3-fips.us-east-1.amazonaws.com", skipVerify: true, storage: true},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := readFields(object(t, tt.json), tt.isS3)
			if !ok {
				t.Fatalf("readFields(%s) is no bucket", tt.json)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(fields{})); diff != "" {
				t.Errorf("readFields(%s): -want +got\n%s", tt.json, diff)
			}
		})
	}
}

func TestOtherServicesAreNoBucket(t *testing.T) {
	for name, doc := range map[string]string{
		"postgres":         `{"username":"u","password":"p","name":"db","host":"h","port":"5432","db_name":"db","uri":"postgres://u:p@h:5432/db"}`,
		"postgres, sparse": `{"username":"u","password":"p","name":"db","host":"h"}`,
		"postgres, uri":    `{"username":"u","password":"p","name":"db","uri":"postgres://u:p@h/db"}`,
		"database alone":   `{"username":"u","password":"p","name":"db"}`,
		"key id, no s3":    `{"username":"AKIA1","password":"p","name":"db","port":1}`,
		"key id, other":    `{"username":"AKIA1","password":"p","name":"b","uri":"https://queue.example/b"}`,
		"redis":            `{"host":"h","password":"p","port":"6379"}`,
		"empty":            `{}`,
		"secret missing":   `{"access_key_id":"AKIA1","bucket":"b"}`,
		"wrong types":      `{"access_key_id":1,"secret_access_key":[],"bucket":{}}`,
		"broken uri":       `{"uri":"s3://%zz"}`,
	} {
		if got, ok := readFields(object(t, doc), false); ok {
			t.Errorf("%s: readFields(%s) = %+v, want no bucket", name, doc, got)
		}
	}
	queue := object(t, `{"access_key_id":"AKIA1","secret_access_key":"s","region":"r","queue_url":"https://q"}`)
	if got, ok := readFields(queue, false); ok && got.storage {
		t.Errorf("a queue's keys are taken for object storage: %+v", got)
	}
}

func object(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestServicesKnownAsS3(t *testing.T) {
	for label, want := range map[string]bool{
		"s3": true, "pages-s3": true, "federalist-s3": true, "aws-s3": true, "minio-s3": true, "csb-aws-s3-bucket": true,
		"amazon-s3": true, "dynstrg": true, "aws-rds": false, "user-provided": false, "s3000": false, "": false,
	} {
		if got := IsS3(label, nil); got != want {
			t.Errorf("IsS3(%q) = %v, want %v", label, got, want)
		}
	}
	if !IsS3("user-provided", []string{"x", "Object-Storage"}) {
		t.Error("the tag Object-Storage is not seen")
	}
}
