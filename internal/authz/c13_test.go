package authz

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/hybrid"
	"github.com/cofferhq/coffer/internal/journal"
)

// A thing is something that Coffer has signed, and the hash that is signed for it.
type thing struct {
	name  string
	hash  custody.Hash
	proof *custody.AttestationProof // of an attestation
}

// things are all that a person, an attestor, a recovery key or a node signs, for
// two intents, two charters and two of everything else that hashes bind.
func things(t testing.TB) []thing {
	t.Helper()
	charters := map[string]custody.Hash{"charter 1": hashOf("charter 1"), "charter 2": hashOf("charter 2")}
	key := custody.Key{
		ID: id[custody.Key](1), Scheme: custody.Ed25519, PublicKey: make([]byte, 32), ChainCode: hashOf("cc"), Epoch: 1,
		Set: custody.SignerSet{Members: []custody.Member{{Node: "node-a", IDs: 2}}, Threshold: 2},
	}
	var out []thing
	add := func(name string, hash custody.Hash) { out = append(out, thing{name: name, hash: hash}) }
	for _, at := range []string{"charter 1", "charter 2"} {
		charter := charters[at]
		for _, n := range []int{2, 3} {
			in := upgrade(t, n)
			digest := in.Digest(charter)
			for _, v := range []custody.Verdict{custody.Submit, custody.Yes, custody.No} {
				add(string(v)+" of intent "+string(rune('0'+n))+", "+at, must(custody.ApprovalHash(digest, v)))
			}
			add("digest of intent "+string(rune('0'+n))+", "+at, digest)
		}
		for kind, a := range statements() {
			p := attest(t, a, keyEd25519(), charter)
			out = append(out, thing{string(kind) + ", " + at, custody.AttestationHash(charter, p.Bytes), p})
		}
		add("the charter's signatures, "+at, custody.CharterSignatureHash(charter))
		add("the charter's hash, "+at, charter)
		for n := range uint64(2) {
			add("key, "+at, must(custody.KeyHash(charter, id[custody.Intent](n), key)))
		}
		for _, prepared := range []string{"prepared 1", "prepared 2"} {
			for _, messages := range [][]custody.Hash{nil, {hashOf("m")}, {hashOf("m"), hashOf("n")}} {
				add("receipt, "+at, custody.ReceiptHash(charter, hashOf(prepared), messages))
			}
		}
	}
	seen := make(map[custody.Hash]string)
	for _, x := range out {
		if other, ok := seen[x.hash]; ok {
			t.Fatalf("%s and %s have one hash", other, x.name)
		}
		seen[x.hash] = x.name
	}
	return out
}

func upgrade(t testing.TB, rules int) *custody.Intent {
	t.Helper()
	in, err := custody.NewIntent(custody.Intent{
		Type: custody.UpgradeIntent, ID: id[custody.Intent](1), Institution: "bank", Domain: "all",
		Created: now, Expires: now.Add(custody.Day), Initiator: id[custody.Person](1), Body: &custody.Upgrade{Rules: rules},
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// A way is a way to sign a hash and to check that it was. All ways share keys
// wherever an algorithm lets them, which no deployment would do: what keeps one
// signature from being taken for another is then what was signed alone.
type way struct {
	name string
	// sign returns what is put on record for a hash.
	sign func(hash custody.Hash) *custody.Evidence
	// signature is what could be lifted out of it.
	signature func(e *custody.Evidence) []byte
	// dress puts another signature into evidence.
	dress  func(e *custody.Evidence, signature []byte) *custody.Evidence
	verify func(x thing, e *custody.Evidence) error
	takes  func(x thing) bool // nil: everything
	key    string             // ways with one key and one encoding share what they accept
}

func ways(t testing.TB) []way {
	t.Helper()
	plain := func(e *custody.Evidence) []byte { return e.Signature }
	bare := func(signature []byte) *custody.Evidence {
		return &custody.Evidence{Kind: custody.EvidenceKind(custody.Device), Credential: id[custody.Credential](1), Signature: signature}
	}
	swap := func(e *custody.Evidence, signature []byte) *custody.Evidence {
		odd := *e
		odd.Signature = signature
		return &odd
	}
	var out []way
	for _, a := range []custody.Algorithm{custody.EdDSA, custody.ES256} {
		c := credential(t, custody.Device, a)
		out = append(out, way{
			name: "device " + string(a), key: "bare " + string(a),
			sign:      func(h custody.Hash) *custody.Evidence { return bare(signHash(t, signerOf(a), h)) },
			signature: plain, dress: swap,
			verify: func(x thing, e *custody.Evidence) error { _, err := realm().Verify(c, e, x.hash, now); return err },
		})
	}
	for _, a := range []custody.Algorithm{custody.EdDSA, custody.ES256, custody.RS256} {
		c := credential(t, custody.WebAuthn, a)
		out = append(out, way{
			name:      "passkey " + string(a),
			sign:      func(h custody.Hash) *custody.Evidence { return newAssertion(h).sign(t, signerOf(a)) },
			signature: plain,
			dress:     swap,
			verify:    func(x thing, e *custody.Evidence) error { _, err := realm().Verify(c, e, x.hash, now); return err },
		})
		person, provider := credential(t, custody.OIDC, ""), issuer(t)
		provider.Keys = slices.DeleteFunc(provider.Keys, func(k custody.IssuerKey) bool { return k.Algorithm != a })
		out = append(out, way{
			name: "token " + string(a),
			sign: func(h custody.Hash) *custody.Evidence { return tokenEvidence(tokenFor(t, a, claimsFor(h))) },
			signature: func(e *custody.Evidence) []byte {
				return must(base64.RawURLEncoding.DecodeString(strings.Split(string(e.Signed.Token), ".")[2]))
			},
			dress: func(e *custody.Evidence, signature []byte) *custody.Evidence {
				parts := strings.Split(string(e.Signed.Token), ".")
				return tokenEvidence(parts[0] + "." + parts[1] + "." + b64(signature))
			},
			verify: func(x thing, e *custody.Evidence) error {
				_, err := realm(provider).Verify(person, e, x.hash, now)
				return err
			},
		})
	}
	node := hybridKey(t, 0)
	public := custody.Blob(keyEd25519().Public().(ed25519.PublicKey))
	out = append(out, way{
		name: "recovery key", key: "bare EdDSA",
		sign:      func(h custody.Hash) *custody.Evidence { return bare(signHash(t, keyEd25519(), h)) },
		signature: plain, dress: swap,
		verify: func(x thing, e *custody.Evidence) error {
			return VerifyRecovery(&custody.RecoveryKey{Key: public}, x.hash, e.Signature)
		},
	}, way{
		name: "attestor", key: "bare EdDSA",
		sign:      func(h custody.Hash) *custody.Evidence { return bare(signHash(t, keyEd25519(), h)) },
		signature: plain, dress: swap,
		takes: func(x thing) bool { return x.proof != nil },
		verify: func(x thing, e *custody.Evidence) error {
			p := *x.proof
			p.Signature = e.Signature
			charter := hashOf("charter " + x.name[len(x.name)-1:])
			all := attestor(custody.PriceAttestation, custody.ScreeningAttestation, custody.TravelRuleAttestation)
			return VerifyAttestation(all, &p, charter, now)
		},
	}, way{
		name: "node",
		sign: func(h custody.Hash) *custody.Evidence {
			return bare(must(node.Sign(h[:])))
		},
		signature: plain, dress: swap,
		verify: func(x thing, e *custody.Evidence) error {
			return VerifyNode(node.Public(), x.hash, e.Signature)
		},
	})
	return out
}

// TestC13SignaturesCrossNothing: a signature made for one thing in one way is
// taken for that thing in that way and for nothing else, whichever of them the
// control plane puts where.
func TestC13SignaturesCrossNothing(t *testing.T) {
	t.Parallel()
	all, list := ways(t), things(t)
	made := make([][]*custody.Evidence, len(all))
	for i, w := range all {
		for _, x := range list {
			made[i] = append(made[i], w.sign(x.hash))
		}
	}
	crossed, straight, cases := 0, 0, 0
	for at, to := range all {
		for i, b := range list {
			if to.takes != nil && !to.takes(b) {
				continue
			}
			for j, from := range all {
				same := to.name == from.name || to.key != "" && to.key == from.key
				for k, a := range list {
					if testing.Short() && i != k && (i+k)%7 != 0 {
						continue
					}
					// As it was put on record, and its signature under a dress made for b.
					for _, e := range []*custody.Evidence{made[j][k], to.dress(made[at][i], from.signature(made[j][k]))} {
						moved := *e
						moved.Kind, moved.Credential = made[at][i].Kind, id[custody.Credential](1)
						err := to.verify(b, &moved)
						cases++
						switch {
						case same && i == k:
							straight++
							if err != nil {
								t.Errorf("%s by %s isn't taken: %v", b.name, to.name, err)
							}
						case err == nil:
							crossed++
							t.Errorf("%s by %s is taken for %s by %s", a.name, from.name, b.name, to.name)
						}
					}
				}
			}
		}
	}
	t.Logf("%d cases: %d taken for what they are, %d for something else", cases, straight, crossed)
	if straight < 2*len(list)*(len(all)-1) || cases < 10_000 {
		t.Errorf("only %d cases, %d of them straight", cases, straight)
	}
}

type head struct{ note []byte }

func (h *head) Load(context.Context) ([]byte, error) { return h.note, nil }

func (h *head) Save(_ context.Context, note []byte) error {
	h.note = note
	return nil
}

// TestC13JournalSignatures: what log and witnesses sign is no hybrid signature of
// a node, and the other way round, though all of them use one key here.
func TestC13JournalSignatures(t *testing.T) {
	t.Parallel()
	key := hybridKey(t, 0)
	var tree journal.Tree
	must(tree.Append([]byte("entry")))
	origin := journal.NewOrigin(hashOf("charter 1"))
	checkpoint := must(tree.Checkpoint(origin, 1))
	note := must(journal.SignCheckpoint(checkpoint, key))
	logKey := hybridKey(t, 1)
	witness := must(journal.NewWitness(origin, logKey.Public(), "node-a", key, new(head)))
	lines := must(witness.Cosign(t.Context(), journal.Request{Note: must(journal.SignCheckpoint(checkpoint, logKey)), Newest: now.Time()}, now.Time()))

	halves := func(text []byte) (ids [][]byte, signature []byte) {
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "— ") {
				continue
			}
			b := must(base64.StdEncoding.DecodeString(strings.Fields(line)[2]))
			size := hybrid.SignatureSize - 64
			if len(signature) == 0 {
				size = 64
			}
			ids = append(ids, b[:len(b)-size])
			signature = append(signature, b[len(b)-size:]...)
		}
		return ids, signature
	}
	ids, logged := halves(note)
	_, cosigned := halves(lines)
	if len(logged) != hybrid.SignatureSize || len(cosigned) != hybrid.SignatureSize {
		t.Fatalf("%d and %d bytes", len(logged), len(cosigned))
	}
	if _, err := journal.OpenCheckpoint(note, origin, key.Public()); err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, x := range things(t) {
		for _, sig := range [][]byte{logged, cosigned, slices.Concat(logged[:64], cosigned[64:]), slices.Concat(cosigned[:64], logged[64:])} {
			refused(t, x.name, VerifyNode(key.Public(), x.hash, sig), "signature")
		}
		// A node's own signature, cut up into the lines of a note.
		sig := must(key.Sign(x.hash[:]))
		if VerifyNode(key.Public(), x.hash, sig) == nil {
			taken++
		}
		text, _, _ := bytes.Cut(note, []byte("—"))
		forged := slices.Clone(text)
		for i, half := range [][]byte{sig[:64], sig[64:]} {
			forged = append(forged, "— "+string(origin)+" "+base64.StdEncoding.EncodeToString(slices.Concat(ids[i], half))+"\n"...)
		}
		if _, err := journal.OpenCheckpoint(forged, origin, key.Public()); err == nil {
			t.Errorf("a node's signature for %s is taken for a checkpoint", x.name)
		}
	}
	if taken != len(things(t)) {
		t.Errorf("%d signatures of nodes hold", taken)
	}
}

// TestC38ApprovalsBindTheIntent: an approval holds for the intent that was shown
// and for no edit of it, in no other deployment, and for one verdict.
func TestC38ApprovalsBindTheIntent(t *testing.T) {
	t.Parallel()
	in := upgrade(t, 2)
	digest := in.Digest(hashOf("charter 1"))
	hash := must(custody.ApprovalHash(digest, custody.Yes))
	type made struct {
		name       string
		credential *custody.Credential
		evidence   *custody.Evidence
	}
	list := []made{
		{"device", credential(t, custody.Device, custody.EdDSA), deviceEvidence(t, keyEd25519(), hash)},
		{"passkey", credential(t, custody.WebAuthn, custody.ES256), newAssertion(hash).sign(t, keyP256())},
		{"token", credential(t, custody.OIDC, ""), tokenEvidence(tokenFor(t, custody.RS256, claimsFor(hash)))},
	}
	holds := func(m made, hash custody.Hash) bool {
		_, err := realm(issuer(t)).Verify(m.credential, m.evidence, hash, now)
		return err == nil
	}
	edits, all := 0, make(map[string]custody.Hash)
	for i := range in.Raw {
		for bit := range 8 {
			raw := bytes.Clone(in.Raw)
			raw[i] ^= 1 << bit
			if other, err := custody.ParseIntent(raw); err == nil {
				edits++
				all[string(raw)] = must(custody.ApprovalHash(other.Digest(hashOf("charter 1")), custody.Yes))
			}
		}
	}
	// Every field of the envelope and the body, with another valid value.
	for what, edit := range map[string]func(*custody.Intent){
		"type": func(in *custody.Intent) {
			in.Type, in.Body = custody.FreezeIntent, &custody.Freeze{Target: custody.Target{All: true}}
		},
		"id":          func(in *custody.Intent) { in.ID = id[custody.Intent](2) },
		"institution": func(in *custody.Intent) { in.Institution = "bank-2" },
		"domain":      func(in *custody.Intent) { in.Domain = "all/x" },
		"created":     func(in *custody.Intent) { in.Created++ },
		"expires":     func(in *custody.Intent) { in.Expires++ },
		"initiator":   func(in *custody.Intent) { in.Initiator = id[custody.Person](2) },
		"body":        func(in *custody.Intent) { in.Body = &custody.Upgrade{Rules: 3} },
	} {
		other := *in
		edit(&other)
		parsed, err := custody.NewIntent(other)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		all[what] = must(custody.ApprovalHash(parsed.Digest(hashOf("charter 1")), custody.Yes))
	}
	all["another charter"] = must(custody.ApprovalHash(in.Digest(hashOf("charter 2")), custody.Yes))
	all["no"] = must(custody.ApprovalHash(digest, custody.No))
	all["submit"] = must(custody.ApprovalHash(digest, custody.Submit))
	for _, m := range list {
		if !holds(m, hash) {
			t.Errorf("%s doesn't hold for its own intent", m.name)
		}
		for what, other := range all {
			if holds(m, other) {
				t.Errorf("%s holds for %s", m.name, what)
			}
		}
	}
	if edits < 100 {
		t.Errorf("only %d edits", edits)
	}
}

// One credential's evidence is another's neither by id nor by key.
func TestC38ApprovalsBindTheCredential(t *testing.T) {
	t.Parallel()
	hash := hashOf("approve")
	mine := credential(t, custody.Device, custody.ES256)
	e := deviceEvidence(t, keyP256(), hash)
	theirs := *mine
	theirs.ID, theirs.Person = id[custody.Credential](2), id[custody.Person](2)
	_, err := realm().Verify(&theirs, e, hash, now)
	refused(t, "replayed as it is", err, "credential")
	stolen := *e
	stolen.Credential = theirs.ID
	theirs.PublicKey = mine.PublicKey
	if _, err := realm().Verify(&theirs, &stolen, hash, now); err != nil {
		t.Errorf("one key on two credentials: %v", err) // which package state refuses to put on record
	}
	other := credential(t, custody.Device, custody.EdDSA)
	other.ID = theirs.ID
	_, err = realm().Verify(other, &stolen, hash, now)
	refused(t, "under another key", err, "signature")
}
