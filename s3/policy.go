package s3

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Public implements [Policy].
func (c *Client) Public(ctx context.Context) (bool, error) {
	out, err := c.sdk().GetBucketPolicy(ctx, &sdk.GetBucketPolicyInput{Bucket: c.bucket})
	if err != nil {
		e := classify(ctx, OpGetPolicy, "", err)
		if e.Code == "NoSuchBucketPolicy" {
			return false, nil
		}
		return false, e
	}
	public, err := isPublic(aws.ToString(out.Policy))
	if err != nil {
		return false, &Error{Op: OpGetPolicy, Kind: ErrCorrupt, Err: err}
	}
	return public, nil
}

// isPublic says whether a policy lets anybody read objects: whether a statement
// without a condition allows s3:GetObject to "*".
func isPublic(policy string) (bool, error) {
	var doc struct {
		Statement oneOrMore[struct {
			Effect       string
			Principal    principal
			NotPrincipal any
			Action       oneOrMore[string]
			NotAction    oneOrMore[string]
			Condition    map[string]any
		}]
	}
	if err := json.Unmarshal([]byte(policy), &doc); err != nil {
		return false, fmt.Errorf("parsing the bucket's policy: %w", err)
	}
	for _, s := range doc.Statement {
		anybody := bool(s.Principal) || s.NotPrincipal != nil
		reads := matchesGetObject(s.Action) || len(s.NotAction) > 0 && !matchesGetObject(s.NotAction)
		if s.Effect == "Allow" && anybody && reads && len(s.Condition) == 0 {
			return true, nil
		}
	}
	return false, nil
}

func matchesGetObject(actions []string) bool {
	for _, a := range actions {
		if ok, _ := path.Match(strings.ToLower(a), "s3:getobject"); ok {
			return true
		}
	}
	return false
}

// oneOrMore is a JSON list that may be written as its only element.
type oneOrMore[T any] []T

func (l *oneOrMore[T]) UnmarshalJSON(data []byte) error {
	if data[0] == '[' {
		return json.Unmarshal(data, (*[]T)(l))
	}
	var one T
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*l = oneOrMore[T]{one}
	return nil
}

// principal says whether "*" is among the callers of a statement.
type principal bool

func (p *principal) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		*p = string(data) == `"*"`
		return nil
	}
	var kinds map[string]oneOrMore[string]
	if err := json.Unmarshal(data, &kinds); err != nil {
		return err
	}
	for _, who := range kinds["AWS"] {
		*p = *p || who == "*"
	}
	return nil
}
