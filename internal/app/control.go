// Package app joins the parts: the control plane ([Control]) and a whole deployment
// for development ([Dev]).
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/bus/broker"
	"github.com/cofferhq/coffer/internal/ceremony"
	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/lifecycle"
	"github.com/cofferhq/coffer/internal/network"
	"github.com/cofferhq/coffer/internal/server"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// Control is the control plane: journal, database, broker, life cycle and API.
type Control struct {
	store  *store.Store
	broker *broker.Broker
	nats   *bus.NATS
	bus    *bus.Endpoint
	nodes  *ceremony.Coordinator
	life   *lifecycle.Lifecycle
	listen net.Listener
	http   *http.Server
	log    *slog.Logger
	known  atomic.Pointer[map[string]hybrid.PublicKey] // the nodes on record
}

// Open opens what the configuration names, and begins the journal with the charter
// where there is none yet. now is the clock.
func Open(ctx context.Context, f *File, now func() time.Time, log *slog.Logger) (_ *Control, err error) {
	c := &Control{log: log}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	passphrase, err := keyfile.ReadPassphrase(string(f.Passphrase))
	if err != nil {
		return nil, err
	}
	keys, err := keyfile.OpenControl(string(f.Key), passphrase)
	if err != nil {
		return nil, err
	}
	record, charter, err := config.ReadCharter(f.Charter, f.Trust)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(string(f.Database)), 0o700); err != nil {
		return nil, err
	}
	if c.store, err = store.Open(ctx, string(f.Database), charter.Hash(), now); err != nil {
		return nil, err
	}
	if err := c.begin(ctx, record, keys); err != nil {
		return nil, err
	}
	if err := c.meet(); err != nil {
		return nil, err
	}
	if err := c.connect(ctx, f, charter.Hash(), keys, now); err != nil {
		return nil, err
	}
	c.nodes, err = ceremony.New(ctx, ceremony.Config{
		Store: c.store, Bus: c.bus, LogKey: keys.Log, Now: now, Rand: rand.Reader, Log: log,
	})
	if err != nil {
		return nil, err
	}
	networks, err := networks(f)
	if err != nil {
		return nil, err
	}
	c.life = lifecycle.New(lifecycle.Config{Store: c.store, Nodes: c.nodes, Networks: networks, Now: now, Log: log})
	return c, c.serve(ctx, f, now)
}

// begin writes the charter as the first entry of an empty journal, and refuses keys
// that are not those now in force.
func (c *Control) begin(ctx context.Context, record *custody.CharterRecord, keys *keyfile.Control) error {
	return c.store.Advance(ctx, func(t *store.Tx) error {
		if t.State().Size() == 0 {
			if _, _, err := t.Append(custody.CharterEntry, record); err != nil {
				return err
			}
		}
		want := t.State().ControlKeys()
		if string(want.LogKey) != string(keys.Log.Public().Bytes()) || string(want.CoordinatorKey) != string(keys.Coordinator.Public().Bytes()) {
			return &custody.Error{Code: custody.Invalid, Field: "key", Message: "not the control plane's keys of this charter"}
		}
		return nil
	})
}

// connect starts the broker and the control plane's end of the bus.
func (c *Control) connect(ctx context.Context, f *File, charter custody.Hash, keys *keyfile.Control, now func() time.Time) error {
	token, err := keyfile.ReadPassphrase(string(f.Bus.Token))
	if err != nil {
		return err
	}
	report := func(err error) { c.log.Debug("bus", "reason", err.Error()) }
	c.broker, err = broker.Start(broker.Config{Host: f.Bus.Host, Port: f.Bus.Port, Token: token, Report: report})
	if err != nil {
		return err
	}
	c.nats, err = bus.Connect(ctx, bus.NATSConfig{URL: c.broker.URL(), Token: token, Charter: charter, Report: report})
	if err != nil {
		return err
	}
	c.bus, err = bus.New(bus.Config{
		Charter: charter, Name: bus.Coordinator, Key: keys.Coordinator, Peers: func() map[string]hybrid.PublicKey { return *c.known.Load() }, Transport: c.nats, Now: now,
		Report: func(peer string, err error) { c.log.Debug("frame dropped", "peer", peer, "reason", err.Error()) },
	})
	return err
}

// meet finds out which nodes there are: those on record.
func (c *Control) meet() error {
	nodes := make(map[string]hybrid.PublicKey)
	err := c.store.View(func(s *state.State) error {
		for _, n := range s.NodeList() {
			key, err := hybrid.ParsePublicKey(n.IdentityKey)
			if err != nil {
				return err
			}
			nodes[string(n.ID)] = key
		}
		return nil
	})
	c.known.Store(&nodes)
	return err
}

// greet keeps up with the nodes on record until ctx ends.
func (c *Control) greet(ctx context.Context) error {
	for {
		changed := c.store.Changed()
		if err := c.meet(); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func networks(f *File) (map[custody.Network]*lifecycle.Network, error) {
	out := make(map[custody.Network]*lifecycle.Network)
	for i, b := range f.Bitcoin {
		password := ""
		if b.Password != "" {
			var err error
			if password, err = keyfile.ReadPassphrase(string(b.Password)); err != nil {
				return nil, fmt.Errorf("bitcoin.%d.password_file: %w", i, err)
			}
		}
		node, err := network.NewBitcoin(network.BitcoinConfig{Network: custody.Network(b.Network), URL: b.URL, User: b.User, Password: network.Password(password)})
		if err != nil {
			return nil, fmt.Errorf("bitcoin.%d: %w", i, err)
		}
		poll, err := time.ParseDuration(b.Poll)
		if err != nil {
			return nil, fmt.Errorf("bitcoin.%d.poll: %w", i, err)
		}
		out[custody.Network(b.Network)] = &lifecycle.Network{
			Node: node, Confirmations: b.Confirmations, Final: b.Final, FeeRate: b.FeeRate, Poll: poll, Start: b.Start,
		}
	}
	return out, nil
}

// serve listens for the API's callers.
func (c *Control) serve(ctx context.Context, f *File, now func() time.Time) error {
	token, err := keyfile.ReadPassphrase(string(f.HTTP.Token))
	if err != nil {
		return err
	}
	handler, err := server.New(server.Config{
		Store: c.store, Desk: c.life, Nodes: c.status, Evidence: c.life.Evidence, Token: token, Now: now, Rand: rand.Reader, Log: c.log,
	})
	if err != nil {
		return err
	}
	c.listen, err = new(net.ListenConfig).Listen(ctx, "tcp", f.HTTP.Listen)
	if err != nil {
		return &custody.Error{Code: custody.Unavailable, Field: "http.listen", Message: err.Error()}
	}
	c.http = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
	return nil
}

func (c *Control) status() []server.NodeStatus {
	var out []server.NodeStatus
	for _, n := range c.nodes.Nodes() {
		status := server.NodeStatus{Node: n.Name, Reachable: n.Reachable, Size: n.Size}
		if !n.Seen.IsZero() {
			status.LastSeen = custody.At(n.Seen)
		}
		out = append(out, status)
	}
	return out
}

// URL is where the API is served.
func (c *Control) URL() string { return "http://" + c.listen.Addr().String() }

// BusURL is where nodes reach the broker.
func (c *Control) BusURL() string { return c.broker.URL() }

// Run works until ctx ends or a part can't go on, and says why.
func (c *Control) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var work sync.WaitGroup
	for _, part := range []func(context.Context) error{
		c.greet,
		c.nodes.Run,
		c.life.Run,
		func(context.Context) error { return c.http.Serve(c.listen) },
	} {
		work.Go(func() {
			if err := part(ctx); err != nil && !errors.Is(err, http.ErrServerClosed) {
				cancel(err)
			}
		})
	}
	<-ctx.Done()
	cause := context.Cause(ctx)
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()
	err := c.http.Shutdown(stop)
	work.Wait()
	return errors.Join(cause, err)
}

// Close closes all that Open opened.
func (c *Control) Close() error {
	var errs []error
	if c.http != nil {
		errs = append(errs, c.http.Close())
	} else if c.listen != nil {
		errs = append(errs, c.listen.Close())
	}
	if c.bus != nil {
		c.bus.Close()
	}
	if c.nats != nil {
		c.nats.Close()
	}
	if c.broker != nil {
		c.broker.Close()
	}
	if c.store != nil {
		errs = append(errs, c.store.Close())
	}
	return errors.Join(errs...)
}
