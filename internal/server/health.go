package server

import (
	"context"

	"github.com/cofferhq/coffer/api"
)

func (s *server) health() {
	on(s, get(healthPath, "getHealth", "Say that the server is there; needs no token"), s.getHealth)
}

func (s *server) getHealth(ctx context.Context, _ *nothing) (*answer[api.Health], error) {
	_, size, err := s.store.Head(ctx)
	if err != nil {
		return nil, err
	}
	return &answer[api.Health]{api.Health{Status: "ok", JournalSize: s.store.Size(), WitnessedSize: size}}, nil
}
