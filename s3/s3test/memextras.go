package s3test

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/cgs3fs/cgs3fs/s3"
)

// extras is what a bucket has beside objects.
type extras struct {
	cors       []s3.CORSRule
	versioning s3.VersioningState
	public     bool
}

// GetCORS implements [s3.CORS].
func (m *Mem) GetCORS(ctx context.Context) ([]s3.CORSRule, error) {
	if err := check(ctx, s3.OpGetCORS, "-"); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return cloneCORS(m.extras.cors), nil
}

// PutCORS implements [s3.CORS].
func (m *Mem) PutCORS(ctx context.Context, rules []s3.CORSRule) error {
	if err := check(ctx, s3.OpPutCORS, "-"); err != nil {
		return err
	}
	if len(rules) == 0 || len(rules) > 100 {
		return refuse(s3.OpPutCORS, "", s3.ErrInvalid, "MalformedXML", 400)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extras.cors = cloneCORS(rules)
	return nil
}

// DeleteCORS implements [s3.CORS].
func (m *Mem) DeleteCORS(ctx context.Context) error {
	if err := check(ctx, s3.OpDeleteCORS, "-"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extras.cors = nil
	return nil
}

func cloneCORS(rules []s3.CORSRule) []s3.CORSRule {
	rules = slices.Clone(rules)
	for i := range rules {
		r := &rules[i]
		r.AllowedOrigins = slices.Clone(r.AllowedOrigins)
		r.AllowedMethods = slices.Clone(r.AllowedMethods)
		r.AllowedHeaders = slices.Clone(r.AllowedHeaders)
		r.ExposeHeaders = slices.Clone(r.ExposeHeaders)
	}
	return rules
}

// GetTags implements [s3.Tags].
func (m *Mem) GetTags(ctx context.Context, key, versionID string) (map[string]string, error) {
	if err := check(ctx, s3.OpGetTags, key); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, err := m.find(s3.OpGetTags, key, versionID)
	if err != nil {
		return nil, err
	}
	return maps.Clone(v.tags), nil
}

// PutTags implements [s3.Tags].
func (m *Mem) PutTags(ctx context.Context, key, versionID string, tags map[string]string) error {
	if err := check(ctx, s3.OpPutTags, key); err != nil {
		return err
	}
	if err := checkOptions(s3.OpPutTags, key, s3.Attributes{}, tags); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, err := m.find(s3.OpPutTags, key, versionID)
	if err != nil {
		return err
	}
	v.tags = maps.Clone(tags)
	return nil
}

// Versioning implements [s3.Versions].
func (m *Mem) Versioning(ctx context.Context) (s3.VersioningState, error) {
	if err := check(ctx, s3.OpGetVersioning, "-"); err != nil {
		return "", err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.extras.versioning, nil
}

// SetVersioning implements [s3.Versions].
func (m *Mem) SetVersioning(ctx context.Context, state s3.VersioningState) error {
	if err := check(ctx, s3.OpPutVersioning, "-"); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extras.versioning = state
	return nil
}

// ListVersions implements [s3.Versions]. A page ends only between keys, so it
// may be longer than asked for.
func (m *Mem) ListVersions(ctx context.Context, in s3.VersionsInput) (s3.VersionsPage, error) {
	if err := check(ctx, s3.OpListVersions, "-"); err != nil {
		return s3.VersionsPage{}, err
	}
	limit := m.cfg.MaxPage
	if in.Max > 0 && in.Max < limit {
		limit = in.Max
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	var page s3.VersionsPage
	i, _ := slices.BinarySearch(m.keys, max(in.Prefix, in.Token))
	for ; i < len(m.keys) && strings.HasPrefix(m.keys[i], in.Prefix); i++ {
		if len(page.Versions) >= limit {
			page.Next = m.keys[i]
			break
		}
		for j, v := range slices.Backward(m.objects[m.keys[i]]) {
			latest := j == len(m.objects[m.keys[i]])-1
			page.Versions = append(page.Versions, s3.Version{Object: v.info.Object, Latest: latest, Deleted: v.marker})
		}
	}
	return page, nil
}

// SetPublic makes the bucket world-readable, or not.
func (m *Mem) SetPublic(public bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.extras.public = public
}

// Public implements [s3.Policy].
func (m *Mem) Public(ctx context.Context) (bool, error) {
	if err := check(ctx, s3.OpGetPolicy, "-"); err != nil {
		return false, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.extras.public, nil
}
