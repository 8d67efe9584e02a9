package main

import (
	"fmt"

	"github.com/midhook/midhook/internal/servers"
)

// backends are the stores' servers, each of which is started when it is first needed.
type backends struct {
	started map[string]*backend
}

type backend struct {
	server *servers.Server
	err    error
}

// address is where the server of a store is, empty for the store in memory. Where the
// server is not installed the error is a NotInstalledError.
func (b *backends) address(store string) (string, error) {
	if store == "" {
		return "", nil
	}
	one, ok := b.started[store]
	if !ok {
		one = &backend{}
		one.server, one.err = startBackend(store)
		if b.started == nil {
			b.started = map[string]*backend{}
		}
		b.started[store] = one
	}
	switch {
	case one.err != nil:
		return "", one.err
	case store == redisName:
		return one.server.Addr(), nil
	}
	return one.server.URL, nil
}

func startBackend(store string) (*servers.Server, error) {
	switch store {
	case redisName:
		return servers.Redis()
	case postgresName:
		return servers.PostgreSQLWith() // it writes to the disk, as a merchant's does
	}
	return nil, fmt.Errorf("there is no store %q", store)
}

func (b *backends) stop() {
	for _, one := range b.started {
		if one.server != nil {
			one.server.Close()
		}
	}
}
