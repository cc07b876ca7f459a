package signer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/cofferhq/coffer/internal/bus"
	"github.com/cofferhq/coffer/internal/chain"
	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/chain/chains"
	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
	"github.com/cofferhq/coffer/internal/keyfile"
	"github.com/cofferhq/coffer/internal/keystore"
	"github.com/cofferhq/coffer/internal/policy/compile"
	"github.com/cofferhq/coffer/internal/signer"
	"github.com/cofferhq/coffer/internal/state"
	"github.com/cofferhq/coffer/internal/state/statetest"
	"github.com/cofferhq/coffer/internal/wire"
	"github.com/cofferhq/coffer/tss"
)

const (
	regtest custody.Network = "bip122:0f9188f13cb7b2c71f2a335e3a4fc328"
	coin    custody.Asset   = custody.Asset(regtest) + "/slip44:1"
)

var logged = flag.Bool("logged", false, "show what the nodes log")

const policyText = `
version: 1
currency: CHF
rules:
  - name: small
    for: [TRANSFER]
    when: amount.asset == "bip122:0f9188f13cb7b2c71f2a335e3a4fc328/slip44:1" && amount.units <= units("0.5") && destination.kind in ["INTERNAL", "ALLOWLISTED"]
    allow: {}
  - name: large
    for: [TRANSFER, SPEED_UP, CANCEL]
    when: "true"
    allow: {approvals: [{group: treasury, count: 2}]}
  - name: governance
    for: [POLICY_CHANGE, PERSON_CHANGE, GROUP_CHANGE, CREDENTIAL_CHANGE, KEY_CEREMONY, SIGNER_SET_CHANGE, WITNESS_CHANGE, VAULT_CREATE, WALLET_CREATE,
          DESTINATION_CHANGE, LIST_CHANGE, PROVIDER_CHANGE, ISSUER_CHANGE, HOLD_RELEASE, UPGRADE, FREEZE]
    when: "true"
    allow: {approvals: [{group: administrators, count: 2}]}
`

// everybody is all nodes of a plane.
var everybody = []custody.Name{"node-a", "node-b", "node-c"}

// plane is a control plane in a test's hands, with all its keys, over real nodes: it
// can write any entry, sign any checkpoint and send any invitation.
type plane struct {
	*statetest.World
	t     *testing.T
	mem   *bus.Memory
	road  *road
	end   *bus.Endpoint
	nodes map[custody.Name]*running
	note  []byte // the newest head that a quorum cosigned
	mu    sync.Mutex

	attempts uint32
	coins    byte // that were spent

	key       *custody.Key
	chainCode custody.Hash
	vault     custody.ID[custody.Vault]
	hot, cold custody.ID[custody.Wallet]
	friend    custody.ID[custody.Destination]
}

// running is a node of the plane.
type running struct {
	name  custody.Name
	dir   string
	store *keystore.Store
	node  *signer.Node
	log   *logbook
	size  int64         // of the journal that it said it has
	ahead time.Duration // of its clock; the plane's mu guards it
	ended chan error    // what Run returned
	stop  func()
}

// logbook is what a node logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logbook) has(text string) bool { return strings.Contains(l.String(), text) }

// road is what all frames pass. A test counts them, and decides which go on.
type road struct {
	mu    sync.Mutex
	talk  int // data frames from node to node so far
	rule  func(from, to string, frame []byte) bool
	held  []frame // those that rule kept back
	heard []frame // all, where recording
	rec   bool
}

type frame struct {
	from, to string
	raw      []byte
}

// talk reports whether a frame carries a message of a node to a node.
func (f frame) talk() bool {
	return f.from != bus.Coordinator && f.to != bus.Coordinator && f.raw[1] == dataFrame
}

// dataFrame is the type of a frame that carries a message (docs/spec/10-bus.md §1).
const dataFrame = 4

func (r *road) between(to string, raw []byte) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := frame{string(raw[3 : 3+raw[2]]), to, raw}
	if r.rec {
		r.heard = append(r.heard, frame{f.from, to, bytes.Clone(raw)})
	}
	if f.talk() {
		r.talk++
	}
	if r.rule != nil && !r.rule(f.from, to, raw) {
		r.held = append(r.held, frame{f.from, to, bytes.Clone(raw)})
		return nil
	}
	return [][]byte{raw}
}

// let lets only those frames pass for which rule answers true; all for nil.
func (r *road) let(rule func(from, to string, frame []byte) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rule = rule
}

// kept takes the frames that were kept back.
func (r *road) kept() []frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := r.held
	r.held = nil
	return held
}

// deliver hands frames on as they are, whoever sent them and however often before.
func (p *plane) deliver(frames []frame) {
	p.t.Helper()
	for _, f := range frames {
		if err := p.mem.Publish(f.to, f.raw); err != nil {
			p.t.Fatal(err)
		}
		if f.talk() { // what the test says in a node's name doesn't count
			p.road.mu.Lock()
			p.road.talk--
			p.road.mu.Unlock()
		}
	}
}

func (r *road) talked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.talk
}

// quiet waits until nobody has anything more to say.
func (p *plane) quiet() {
	time.Sleep(time.Minute / 2) // longer than anything is repeated
	synctest.Wait()
}

// record begins or ends to keep copies of all frames, and returns those kept so far.
func (r *road) record(on bool) []frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec = on
	heard := r.heard
	r.heard = nil
	return heard
}

// bubble runs a test on a plane of its own. Its clocks move when the test says so, and
// what waits for a timer doesn't wait in real time.
func bubble(t *testing.T, do func(t *testing.T, p *plane)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { do(t, newPlane(t)) })
}

func (p *plane) now() time.Time { return p.clock("") }

// clock is what a node's clock shows; the plane's own for no name.
func (p *plane) clock(name custody.Name) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.Now.Time()
	if r := p.nodes[name]; r != nil {
		t = t.Add(r.ahead)
	}
	return t
}

// wait lets time pass for everybody.
func (p *plane) wait(s custody.Seconds) {
	time.Sleep(time.Duration(s) * time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Wait(s)
}

// setClock sets a node's clock ahead of all others.
func (p *plane) setClock(name custody.Name, ahead time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nodes[name].ahead = ahead
}

// newPlane starts three nodes and carries what a wallet needs through: a key, which
// the nodes make, a vault, two wallets and an allow-listed destination.
func newPlane(t *testing.T) *plane {
	t.Helper()
	w := statetest.New(t, statetest.Setup{
		Groups: map[custody.Name][]string{"administrators": {"ida", "tom", "una"}, "treasury": {"ida", "tom", "una", "vic"}},
		Others: []string{"otto"}, Policy: compiled(t, policyText, 1),
	})
	p := &plane{World: w, t: t, mem: bus.NewMemory(), road: new(road), nodes: make(map[custody.Name]*running)}
	p.mem.Between(p.road.between)
	for _, name := range everybody {
		p.nodes[name] = &running{name: name, dir: t.TempDir(), log: new(logbook)}
	}
	for _, name := range everybody {
		p.start(name)
	}
	synctest.Wait() // until they answer
	p.listen(statetest.HybridKey(t, "coordinator"))
	p.sync()
	p.set()
	return p
}

// listen makes the plane the coordinator of an identity key.
func (p *plane) listen(key hybrid.PrivateKey) {
	p.t.Helper()
	var err error
	p.end, err = bus.New(bus.Config{
		Charter: p.Charter.Hash(), Name: bus.Coordinator, Key: key,
		Peers: func() map[string]hybrid.PublicKey {
			out := make(map[string]hybrid.PublicKey)
			for id, n := range p.Nodes {
				out[string(id)] = n.Identity.Public()
			}
			return out
		},
		Transport: p.mem, Now: p.now,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.end.Close)
	p.end.Handle(wire.EntriesTopic, func(_ context.Context, _ string, body []byte) ([]byte, error) {
		var m wire.Pull
		if err := wire.Decode(body, &m); err != nil {
			return nil, err
		}
		return wire.Encode(wire.Entries{Entries: p.entries(m.From), Note: custody.Note(p.checkpoint())})
	})
}

// compiled is a version of the policy as a charter or an intent carries it.
func compiled(t *testing.T, text string, version int) []byte {
	t.Helper()
	text = strings.Replace(text, "version: 1", "version: "+strconv.Itoa(version), 1)
	out, err := compile.Compile([]byte(text), compile.Options{Now: statetest.Start.Time()})
	if err != nil {
		t.Fatal(err)
	}
	return out.Raw
}

// start starts a node, or starts it again from what is on its disk.
func (p *plane) start(name custody.Name) {
	p.t.Helper()
	if err := p.tryStart(name); err != nil {
		p.t.Fatal(err)
	}
}

// tryStart is start for a node that may find its disk altered.
func (p *plane) tryStart(name custody.Name) error {
	r := p.nodes[name]
	var to io.Writer = r.log
	if *logged {
		to = io.MultiWriter(r.log, p.t.Output())
	}
	log := slog.New(slog.NewTextHandler(to, nil)).With("node", name)
	now := func() time.Time { return p.clock(name) }
	store, err := keystore.Open(r.dir, "a passphrase of a test", keystore.Config{Charter: p.Charter.Hash(), Node: name, WorkFactor: 10, Now: now})
	if err != nil {
		return err
	}
	id, err := tss.IdentityFromSeed(statetest.Seed("identity " + string(name))[:32])
	if err != nil {
		return errors.Join(err, store.Close())
	}
	w := p.Nodes[name]
	node, err := signer.New(context.Background(), signer.Config{
		Keys:    &keyfile.Node{Public: keyfile.NodePublic{SignerNode: w.SignerNode}, Identity: w.Identity, Witness: w.Witness, TSS: id},
		Charter: p.Charter, Store: store, Dir: r.dir, Transport: p.mem, Now: now, Log: log,
	})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var run sync.WaitGroup
	run.Go(func() { ended <- node.Run(ctx) })
	r.store, r.node, r.ended = store, node, ended
	r.stop = sync.OnceFunc(func() {
		cancel()
		run.Wait()
		if err := errors.Join(node.Close(), store.Close()); err != nil {
			p.t.Error(err)
		}
	})
	p.t.Cleanup(r.stop)
	return nil
}

// kill ends a node without grace: from now on it writes nothing and sends nothing.
func (p *plane) kill(name custody.Name) {
	r := p.nodes[name]
	if err := r.store.Close(); err != nil {
		p.t.Error(err)
	}
	r.stop()
}

// restart ends nodes and starts them again.
func (p *plane) restart(names ...custody.Name) {
	p.t.Helper()
	for _, name := range names {
		p.nodes[name].stop()
	}
	for _, name := range names {
		p.start(name)
	}
	synctest.Wait()
}

func (p *plane) entries(from int64) []jsontext.Value {
	out := []jsontext.Value{}
	for _, e := range p.Entries[min(from, int64(len(p.Entries))):] {
		out = append(out, e)
	}
	return out
}

// patience is how long the plane waits for an answer.
const patience = 700 * time.Second

// call asks a node something.
func (p *plane) call(name custody.Name, topic string, question, answer any) error {
	body, err := wire.Encode(question)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw, err := p.end.Call(ctx, string(name), topic, body)
	if err != nil {
		return err
	}
	return wire.Decode(raw, answer)
}

// checkpoint signs the journal's head as the log does.
func (p *plane) checkpoint() []byte {
	p.t.Helper()
	return p.checkpointOf(&p.Tree)
}

func (p *plane) checkpointOf(tree *journal.Tree) []byte {
	p.t.Helper()
	c, err := tree.Checkpoint(journal.NewOrigin(p.Charter.Hash()), tree.Size())
	if err != nil {
		p.t.Fatal(err)
	}
	note, err := journal.SignCheckpoint(c, p.Log)
	if err != nil {
		p.t.Fatal(err)
	}
	return note
}

// follow hands a node entries from an index on and asks it to cosign a head.
func (p *plane) follow(name custody.Name, from int64, entries []jsontext.Value, note []byte) wire.Followed {
	p.t.Helper()
	var answer wire.Followed
	if err := p.call(name, wire.FollowTopic, wire.Follow{From: from, Entries: entries, Note: custody.Note(note)}, &answer); err != nil {
		p.t.Fatal(name, err)
	}
	p.nodes[name].size = answer.Size
	return answer
}

// tell hands a node a head that a quorum cosigned.
func (p *plane) tell(name custody.Name, note []byte) error {
	return p.call(name, wire.HeadTopic, wire.Head{Note: custody.Note(note)}, new(wire.Followed))
}

// sync hands the nodes named, or all, the entries that they lack, gathers what they
// cosign and, where that is a quorum, tells them.
func (p *plane) sync(names ...custody.Name) {
	p.t.Helper()
	if len(names) == 0 {
		names = everybody
	}
	p.gather(names...)
	for _, name := range names {
		if err := p.tell(name, p.note); err != nil {
			p.t.Fatal(name, err)
		}
	}
}

// gather hands the nodes named the entries that they lack and joins what they cosign
// into the plane's note, which it returns.
func (p *plane) gather(names ...custody.Name) []byte {
	p.t.Helper()
	q, err := p.State.Quorum(p.Tree.Size())
	if err != nil {
		p.t.Fatal(err)
	}
	checkpoint := p.checkpoint()
	p.note = checkpoint
	for _, name := range names {
		from := p.nodes[name].size
		answer := p.follow(name, from, p.entries(from), checkpoint)
		if len(answer.Lines) == 0 {
			p.t.Fatalf("%s didn't cosign: %s", name, answer.Refused)
		}
		if p.note, err = q.Add(p.note, answer.Lines); err != nil {
			p.t.Fatal(err)
		}
	}
	return p.note
}

// set makes a key with the nodes, and what a transfer needs.
func (p *plane) set() {
	p.t.Helper()
	p.key, p.chainCode = p.keygen(custody.BIP340Secp256k1)
	p.vault = statetest.ID[custody.Vault](p.World)
	p.govern(custody.VaultCreateIntent, &custody.VaultCreate{Vault: custody.Vault{ID: p.vault, Institution: "bank", Domain: "treasury", Purpose: custody.Treasury}})
	p.hot, p.cold = p.wallet(0), p.wallet(1)
	p.friend = statetest.ID[custody.Destination](p.World)
	p.govern(custody.DestinationChangeIntent, &custody.DestinationChange{Action: custody.Put, Destination: custody.Destination{
		ID: p.friend, Kind: custody.Allowlisted, Network: regtest, Address: statetest.Stranger, Country: "CH",
	}})
	p.sync()
}

func (p *plane) govern(t custody.IntentType, body custody.Body) {
	p.t.Helper()
	p.Must(p.Govern("ida", t, body, 0, "tom", "una"))
}

func (p *plane) wallet(path uint32) custody.ID[custody.Wallet] {
	id := statetest.ID[custody.Wallet](p.World)
	p.govern(custody.WalletCreateIntent, &custody.WalletCreate{Wallet: custody.Wallet{ID: id, Vault: p.vault, Network: regtest, Key: p.key.ID, Path: path}})
	return id
}

// order puts an authorized key generation on record.
func (p *plane) order(scheme custody.Scheme) custody.ID[custody.Intent] {
	p.t.Helper()
	id := statetest.ID[custody.Key](p.World)
	set := custody.SignerSet{Members: []custody.Member{}, Threshold: 2}
	for _, n := range p.Charter.Nodes {
		set.Members = append(set.Members, custody.Member{Node: n.ID, IDs: 1})
	}
	in := p.Intent("ida", custody.KeyCeremonyIntent, &custody.KeyCeremony{Ceremony: custody.Keygen, Key: id, Scheme: scheme, Set: set})
	p.Must(p.Submit("ida", in))
	p.Must(p.Say("tom", custody.Yes, in))
	p.Must(p.Say("una", custody.Yes, in))
	p.Must(p.Authorize(in))
	return in.ID
}

// invite invites all nodes to a key generation.
func (p *plane) invite(intent custody.ID[custody.Intent]) map[custody.Name]wire.KeygenDone {
	m := wire.Keygen{Intent: intent, Nonce: p.nonce(), Expires: p.now().Unix() + 30}
	out := make(map[custody.Name]wire.KeygenDone)
	var mu sync.Mutex
	var work sync.WaitGroup
	for _, name := range everybody {
		work.Go(func() {
			var done wire.KeygenDone
			if err := p.call(name, wire.KeygenTopic, m, &done); err != nil {
				done.Failed = &wire.Failure{Reason: err.Error()}
			}
			mu.Lock()
			defer mu.Unlock()
			out[name] = done
		})
	}
	work.Wait()
	return out
}

// nonce is the next invitation's.
func (p *plane) nonce() custody.Hash {
	p.attempts++
	return sha256.Sum256(binary.BigEndian.AppendUint32(nil, p.attempts))
}

// keygen has the nodes make a key and puts it on record.
func (p *plane) keygen(scheme custody.Scheme) (*custody.Key, custody.Hash) {
	p.t.Helper()
	intent := p.order(scheme)
	p.sync()
	done := p.invite(intent)
	record := p.keyRecord(intent, done)
	p.Must(p.Append(custody.KeyEntry, record))
	p.sync()
	return p.State.Key(record.Key.ID), done["node-a"].ChainCode
}

// keyRecord joins what the nodes attested.
func (p *plane) keyRecord(intent custody.ID[custody.Intent], done map[custody.Name]wire.KeygenDone) *custody.KeyRecord {
	p.t.Helper()
	record := &custody.KeyRecord{Intent: intent, Attestations: []custody.NodeSignature{}, Prev: p.State.ChainHead()}
	for _, name := range everybody {
		d := done[name]
		if d.Failed != nil || d.Key == nil {
			p.t.Fatalf("%s: %+v", name, d.Failed)
		}
		record.Key = *d.Key
		record.Attestations = append(record.Attestations, custody.NodeSignature{Node: name, Signature: d.Attestation})
	}
	return record
}

// account is one of the plane's wallets.
func (p *plane) account(w custody.ID[custody.Wallet]) chain.Account {
	return chain.Account{Network: regtest, Scheme: p.key.Scheme, PublicKey: p.key.PublicKey, ChainCode: p.chainCode, Path: p.State.Wallet(w).Path}
}

// pay submits a transfer of the hot wallet to the friend and authorizes it.
func (p *plane) pay(satoshi uint64) *custody.Intent {
	p.t.Helper()
	return p.submit(custody.Recipient{Kind: custody.Allowlisted, Address: statetest.Stranger, Destination: p.friend}, satoshi)
}

func (p *plane) submit(to custody.Recipient, satoshi uint64) *custody.Intent {
	p.t.Helper()
	in := p.transfer(to, satoshi)
	p.Must(p.Submit("otto", in))
	p.Must(p.Authorize(in))
	return in
}

func (p *plane) transfer(to custody.Recipient, satoshi uint64) *custody.Intent {
	p.t.Helper()
	return p.Intent("otto", custody.TransferIntent, &custody.Transfer{
		Network: regtest, Wallet: p.hot, Asset: coin, Amount: custody.NewAmount(satoshi), FeeLimit: custody.NewAmount(2000), Destination: to,
	})
}

// coin is one of the hot wallet that nobody has spent yet.
func (p *plane) coin() bitcoin.Coin {
	p.coins++
	return bitcoin.Coin{Outpoint: statetest.Outpoint(p.coins).Outpoint, Amount: custody.NewAmount(90_000_000), Branch: 0, Index: 3}
}

// build builds a transaction of the hot wallet's coins, as an honest control plane
// does, but for what change makes of the order.
func (p *plane) build(in *custody.Intent, change func(*bitcoin.Order)) []byte {
	p.t.Helper()
	transfer := in.Body.(*custody.Transfer)
	o := bitcoin.Order{
		Account: p.account(p.hot), To: transfer.Destination.Address, Amount: transfer.Amount, FeeLimit: transfer.FeeLimit, FeeRate: 2000,
		Coins: []bitcoin.Coin{p.coin()},
	}
	if change != nil {
		change(&o)
	}
	details, err := bitcoin.Build(o)
	if err != nil {
		p.t.Fatal(err)
	}
	return details
}

// prepare puts a transaction on record as the intent's, with what it does as the
// nodes would decode it.
func (p *plane) prepare(in *custody.Intent, details []byte) state.Result {
	p.t.Helper()
	effects := p.decode(details)
	return p.Append(custody.PreparedEntry, &custody.Prepared{
		Intent: in.ID, By: in.ID, Transaction: sha256.Sum256(effects.Unsigned), Claims: effects.Claims, Fee: effects.Fee, Prev: p.State.ChainHead(),
	})
}

func (p *plane) decode(details []byte) *chain.Effects {
	p.t.Helper()
	family, err := chains.For(regtest)
	if err != nil {
		p.t.Fatal(err)
	}
	effects, err := family.Decode(p.account(p.hot), details)
	if err != nil {
		p.t.Fatal(err)
	}
	return effects
}

// sign invites two nodes, or those named, to sign.
func (p *plane) sign(in *custody.Intent, leaf custody.Hash, details []byte, signers ...custody.Name) map[custody.Name]signed {
	m := p.invitation(in, leaf, details, signers...)
	return p.inviteToSign(each(m))
}

// invitation is one to sign, for two nodes or those named.
func (p *plane) invitation(in *custody.Intent, leaf custody.Hash, details []byte, signers ...custody.Name) wire.Sign {
	if len(signers) == 0 {
		signers = []custody.Name{"node-a", "node-b"}
	}
	return wire.Sign{Intent: in.ID, Prepared: leaf, Details: details, Signers: signers, Nonce: p.nonce(), Expires: p.now().Unix() + 10}
}

// signed is what came of an invitation to sign.
type signed struct {
	done wire.SignDone
	err  error
}

func (p *plane) inviteToSign(invitations map[custody.Name]wire.Sign) map[custody.Name]signed {
	out := make(map[custody.Name]signed)
	var mu sync.Mutex
	var work sync.WaitGroup
	for name, m := range invitations {
		work.Go(func() {
			var s signed
			s.err = p.call(name, wire.SignTopic, m, &s.done)
			mu.Lock()
			defer mu.Unlock()
			out[name] = s
		})
	}
	work.Wait()
	return out
}

// paid has an authorized transfer carried out: a transaction is prepared, signed by the
// nodes named, or two, and found valid.
func (p *plane) paid(in *custody.Intent, signers ...custody.Name) {
	p.t.Helper()
	details := p.build(in, nil)
	r := p.Must(p.prepare(in, details))
	p.sync()
	p.assemble(details, p.sign(in, r.Leaf, details, signers...))
}

// assemble joins a transaction of the hot wallet to the signatures that all nodes asked
// have released, and has them verified.
func (p *plane) assemble(details []byte, answers map[custody.Name]signed) {
	p.t.Helper()
	family, err := chains.For(regtest)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, name := range sorted(answers) {
		a := answers[name]
		if a.err != nil || a.done.Failed != nil {
			p.t.Fatalf("%s: %v %+v", name, a.err, a.done.Failed)
		}
		var signatures [][]byte
		for _, s := range a.done.Signatures {
			signatures = append(signatures, s)
		}
		if _, err := family.Assemble(p.account(p.hot), details, signatures); err != nil {
			p.t.Errorf("%s: %v", name, err)
		}
	}
}

func sorted[V any](m map[custody.Name]V) []custody.Name { return slices.Sorted(maps.Keys(m)) }

func file(r *running) string { return filepath.Join(r.dir, "journal.jsonl") }
