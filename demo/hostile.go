package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/cofferhq/coffer/internal/app"
	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/bus/broker"
	"github.com/cofferhq/coffer/internal/ceremony"
	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/lifecycle"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/store"
)

// hostile lets an intruder have the control plane whole: its machine, its database
// and its keys. What is played here is an altered server, made of the same parts.
func (s *story) hostile(ctx context.Context) (err error) {
	s.say("An intruder has the control plane: machine, database, keys. The nodes run on, and are given")
	s.say("whatever the intruder likes. otto, who knows nothing of it, signs one more payment of 0.1 BTC.")
	if err := s.stop(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := &app.Deployment{Dir: s.deployment(), Bin: s.bin}
	for _, name := range app.NodeNames() {
		n, err := d.StartNode(ctx, name)
		if err != nil {
			return err
		}
		defer func() { cancel(); <-n.Exited }()
	}
	i, err := intrude(ctx, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.store.Close()) }()
	defer i.close()
	thief := custody.Address("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080")
	for _, attack := range []struct {
		title string
		alter func(*bitcoin.Order)
		after func([]byte) []byte
	}{
		{"The transaction pays the thief instead of the supplier", func(o *bitcoin.Order) { o.To = thief }, nil},
		{"It pays the supplier too much", func(o *bitcoin.Order) { o.Amount = custody.NewAmount(40_000_000) }, nil},
		{"It burns a fortune as a fee, and the journal says otherwise", func(o *bitcoin.Order) { o.FeeRate, o.FeeLimit = 200_000_000, custody.NewAmount(1_000_000_000) }, nil},
		{
			"The journal has the right transaction, and the nodes are sent another", nil,
			func(honest []byte) []byte { return i.altered },
		},
	} {
		err := i.attack(ctx, s, attack.alter, attack.after)
		switch {
		case err == nil:
			return fmt.Errorf("the nodes signed: %s", attack.title)
		case !strings.Contains(err.Error(), "node-"):
			return err
		}
		s.say("\n%s:", attack.title)
		s.refusals(err)
	}
	s.say("\nNothing left a node. The intruder can stop the service, and move nothing.")
	cancel()
	return nil
}

// refusals prints what the nodes said.
func (s *story) refusals(err error) {
	for said := range strings.FieldsFuncSeq(err.Error(), func(r rune) bool { return r == ';' || r == '\n' }) {
		if said = strings.TrimSpace(said); strings.HasPrefix(said, "node-") {
			s.say("    %s", said)
		}
	}
}

// intruder is an altered control plane.
type intruder struct {
	store   *store.Store
	broker  *broker.Broker
	nats    *bus.NATS
	end     *bus.Endpoint
	nodes   *ceremony.Coordinator
	life    *lifecycle.Lifecycle
	otto    *keyfile.Device
	altered []byte // a transaction that pays the thief
}

// intrude opens the control plane's database with its keys and takes its place.
func intrude(ctx context.Context, d *app.Deployment) (i *intruder, err error) {
	f := new(app.File)
	if err := config.Load(d.ControlFile(), f); err != nil {
		return nil, err
	}
	_, charter, err := config.ReadCharter(f.Charter, f.Trust)
	if err != nil {
		return nil, err
	}
	secret := func(p config.Path) string {
		text, e := keyfile.ReadPassphrase(string(p))
		err = errors.Join(err, e)
		return text
	}
	passphrase, token := secret(f.Passphrase), secret(f.Bus.Token)
	ottos := secret(config.Path(filepath.Join(d.Dir, "people", "otto", "passphrase")))
	if err != nil {
		return nil, err
	}
	keys, err := keyfile.OpenControl(string(f.Key), passphrase)
	if err != nil {
		return nil, err
	}
	i = new(intruder)
	if i.otto, err = keyfile.OpenDevice(filepath.Join(d.Dir, "people", "otto", "key"), ottos); err != nil {
		return nil, err
	}
	if i.store, err = store.Open(ctx, string(f.Database), charter.Hash(), clock); err != nil {
		return nil, err
	}
	if i.broker, err = broker.Start(broker.Config{Host: f.Bus.Host, Port: f.Bus.Port, Token: token}); err != nil {
		return nil, err
	}
	if i.nats, err = bus.Connect(ctx, bus.NATSConfig{URL: i.broker.URL(), Token: token, Charter: charter.Hash()}); err != nil {
		return nil, err
	}
	peers := make(map[string]hybrid.PublicKey)
	for _, n := range charter.Nodes {
		if peers[string(n.ID)], err = hybrid.ParsePublicKey(n.IdentityKey); err != nil {
			return nil, err
		}
	}
	i.end, err = bus.New(bus.Config{
		Charter: charter.Hash(), Name: bus.Coordinator, Key: keys.Coordinator, Transport: i.nats, Now: clock,
		Peers: func() map[string]hybrid.PublicKey { return peers },
	})
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	i.nodes, err = ceremony.New(ctx, ceremony.Config{
		Store: i.store, Bus: i.end, LogKey: keys.Log, Now: clock, Rand: rand.Reader, Log: log,
	})
	if err != nil {
		return nil, err
	}
	i.life = lifecycle.New(lifecycle.Config{Store: i.store, Nodes: i.nodes, Now: clock, Log: log})
	go func() { _ = i.nodes.Run(ctx) }()
	return i, nil
}

func (i *intruder) close() {
	i.end.Close()
	i.nats.Close()
	i.broker.Close()
}

// attack takes otto's signed payment, prepares a transaction for it, altered or not,
// and asks the nodes to sign it or what after makes of it.
func (i *intruder) attack(ctx context.Context, s *story, alter func(*bitcoin.Order), after func([]byte) []byte) error {
	intent, account, coins, err := i.ask(ctx, s)
	if err != nil {
		return err
	}
	transfer := intent.Body.(*custody.Transfer) //nolint:forcetypeassert // made by ask
	o := bitcoin.Order{
		Account: account, Coins: coins, To: transfer.Destination.Address, Amount: transfer.Amount, FeeLimit: transfer.FeeLimit, FeeRate: 2000,
	}
	if alter != nil {
		alter(&o)
	}
	details, err := bitcoin.Build(o)
	if err != nil {
		return err
	}
	family, err := chains.For(account.Network)
	if err != nil {
		return err
	}
	effects, err := family.Decode(account, details)
	if err != nil {
		return err
	}
	fee := effects.Fee
	if fee.Cmp(transfer.FeeLimit) > 0 {
		fee = transfer.FeeLimit // the journal refuses the truth
	}
	order := ceremony.Order{Intent: intent.ID, Details: details, Verify: func([]custody.Blob) error { return nil }}
	err = i.store.Advance(ctx, func(t *store.Tx) error {
		order.Set = t.State().Key(t.State().Wallet(transfer.Wallet).Key).Set
		order.Prepared, order.Index, err = t.Append(custody.PreparedEntry, &custody.Prepared{
			Intent: intent.ID, By: intent.ID, Transaction: sha256.Sum256(effects.Unsigned), Claims: effects.Claims, Fee: fee, Prev: t.State().ChainHead(),
		})
		return err
	})
	if err != nil {
		return err
	}
	if i.altered == nil {
		i.altered = details
	}
	if after != nil {
		order.Details = after(details)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	_, err = i.nodes.Sign(ctx, order)
	return err
}

// ask has otto sign a payment of 0.1 BTC to the supplier, and policy allow it: so far
// all is well.
func (i *intruder) ask(ctx context.Context, s *story) (intent *custody.Intent, account chain.Account, coins []bitcoin.Coin, err error) {
	wallet, err := custody.ParseID[custody.Wallet](s.wallet)
	if err != nil {
		return nil, account, nil, err
	}
	supplier, err := custody.ParseID[custody.Destination](s.supplier)
	if err != nil {
		return nil, account, nil, err
	}
	var charter custody.Hash
	err = i.store.Advance(ctx, func(t *store.Tx) error {
		st := t.State()
		charter = st.CharterHash()
		w := st.Wallet(wallet)
		k := st.Key(w.Key)
		chainCode, err := t.ChainCode(ctx, w.Key)
		if err != nil {
			return err
		}
		account = chain.Account{Network: w.Network, Scheme: k.Scheme, PublicKey: k.PublicKey, ChainCode: chainCode, Path: w.Path}
		all, err := t.Coins(ctx, wallet)
		if err != nil {
			return err
		}
		for _, c := range all {
			if st.Claimed(c.Outpoint) == (custody.ID[custody.Intent]{}) {
				coins = append(coins, bitcoin.Coin{Outpoint: c.Outpoint, Amount: c.Amount, Branch: c.Branch, Index: c.Index})
			}
		}
		created := custody.At(clock())
		id, err := custody.NewID[custody.Intent](created, rand.Reader)
		if err != nil {
			return err
		}
		person := st.Credential(i.otto.Public.ID).Person
		intent, err = custody.NewIntent(custody.Intent{
			Type: custody.TransferIntent, ID: id, Institution: st.Person(person).Institution, Domain: st.Vault(w.Vault).Domain,
			Created: created, Expires: created.Add(custody.Hour), Initiator: person,
			Body: &custody.Transfer{
				Network: w.Network, Wallet: wallet, Asset: state.NativeAsset(w.Network), Amount: custody.NewAmount(10_000_000), FeeLimit: custody.NewAmount(10_000),
				Destination: custody.Recipient{Kind: custody.Allowlisted, Address: st.Destination(supplier).Address, Destination: supplier},
			},
		})
		return err
	})
	if err != nil {
		return nil, account, nil, err
	}
	hash, err := custody.ApprovalHash(intent.Digest(charter), custody.Submit)
	if err != nil {
		return nil, account, nil, err
	}
	signature, err := i.otto.Sign(hash)
	if err != nil {
		return nil, account, nil, err
	}
	evidence := custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: i.otto.Public.ID, Signature: signature}
	if _, err := i.life.Submit(ctx, intent.Raw, evidence, ""); err != nil {
		return nil, account, nil, err
	}
	return intent, account, coins, i.store.Advance(ctx, func(t *store.Tx) error {
		d, err := t.State().Decide(intent.ID, t.Now())
		if err != nil {
			return err
		}
		_, _, err = t.Append(custody.AuthorizedEntry, &custody.Authorized{Intent: intent.ID, Policy: d.Policy, Facts: d.FactsHash, Prev: t.State().ChainHead()})
		return err
	})
}
