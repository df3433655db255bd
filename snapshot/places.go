package snapshot

import "context"

// Places returns the prefixes of everything that snapshots consist of in the
// destination bucket, complete or not: their objects and the control files.
func (s *Store) Places(ctx context.Context) ([]string, error) {
	ids, err := s.ids(ctx)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	places := []string{s.at.control()}
	for _, id := range ids {
		places = append(places, s.at.objects(id))
	}
	return places, nil
}

// Root returns the prefix below which all Places are.
func (s *Store) Root() string { return s.at.prefix }
