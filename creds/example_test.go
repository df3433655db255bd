package creds_test

import (
	"context"
	"fmt"

	"github.com/cgs3fs/cgs3fs/creds"
)

func ExampleFind() {
	env := map[string]string{"VCAP_SERVICES": `{"s3": [{
		"name": "cfs3-s3", "plan": "basic",
		"credentials": {
			"access_key_id": "AKIAEXAMPLE", "secret_access_key": "never-shown", "bucket": "cf-aaaa",
			"region": "us-gov-west-1", "endpoint": "s3-fips.us-gov-west-1.amazonaws.com"
		}}]}`}
	b, err := creds.Find(context.Background(), creds.Request{
		Getenv: func(name string) string { return env[name] },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(b)
	fmt.Println(b.Endpoint)
	fmt.Println(b.Credentials)
	// Output:
	// cf-aaaa (VCAP_SERVICES, service cfs3-s3)
	// https://s3-fips.us-gov-west-1.amazonaws.com
	// key AKIAEXAMPLE
}
