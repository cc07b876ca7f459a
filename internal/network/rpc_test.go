package network

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/go-json-experiment/json"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/custody"
)

// reply is what a scripted node says to one method.
type reply struct {
	status int
	body   string
}

// scripted is a node that says what the test wrote.
func scripted(t *testing.T, replies map[string]reply) *Bitcoin {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var request struct {
			Version string `json:"jsonrpc"`
			ID      int    `json:"id"`
			Method  string `json:"method"`
			Params  []any  `json:"params"`
		}
		if err := json.Unmarshal(body, &request); err != nil || request.Version != "1.0" || request.Params == nil || r.Method != http.MethodPost {
			t.Errorf("request %s: %v", body, err)
		}
		said, ok := replies[request.Method]
		if !ok {
			t.Errorf("nobody expects %s", request.Method)
		}
		w.WriteHeader(said.status)
		_, _ = io.WriteString(w, said.body)
	}))
	t.Cleanup(server.Close)
	client, err := NewBitcoin(BitcoinConfig{Network: bitcoin.Regtest, URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// refuses writes an error as Bitcoin Core does.
func refuses(code int, message string) reply {
	return reply{http.StatusInternalServerError, fmt.Sprintf(`{"result":null,"error":{"code":%d,"message":%q},"id":1}`, code, message)}
}

func says(result string) reply {
	return reply{http.StatusOK, `{"result":` + result + `,"error":null,"id":1}`}
}

// TestSend holds the ways in which nodes refuse a transaction against the code
// that they get. Those of btcd are seen on a real one as well (TestTransfers).
func TestSend(t *testing.T) {
	t.Parallel()
	var raw bytes.Buffer
	tx := chaincfg.RegressionNetParams.GenesisBlock.Transactions[0]
	if err := tx.Serialize(&raw); err != nil {
		t.Fatal(err)
	}
	unknown := refuses(-5, "No such mempool or blockchain transaction.")
	for _, c := range []struct {
		name  string
		send  reply
		known reply
		want  string // a code, or empty: taken
	}{
		{"taken", says(`"` + tx.TxHash().String() + `"`), unknown, ""},
		{"in a block", refuses(-27, "Transaction already in block chain"), unknown, ""},
		{"outputs unspent in a block", refuses(-27, "Transaction outputs already in utxo set"), unknown, ""},
		{"btcd: in the mempool", refuses(-26, "TX rejected: already have transaction in mempool 00"), says(`"00"`), ""},
		{"in a block, all spent", refuses(-25, "bad-txns-inputs-missingorspent"), says(`"00"`), ""},

		{"missing", refuses(-25, "bad-txns-inputs-missingorspent"), unknown, "conflict"},
		{"missing, before 0.19", refuses(-25, "Missing inputs"), unknown, "conflict"},
		{"in the mempool's way", refuses(-26, "txn-mempool-conflict"), unknown, "conflict"},
		{"replacement", refuses(-26, "insufficient fee, rejecting replacement 00; new feerate 0.00001 <= old feerate 0.00002"), unknown, "conflict"},
		{"btcd: orphan", refuses(-25, "TX rejected: orphan transaction 00 references outputs of unknown or fully-spent transaction 01"), unknown, "conflict"},
		{"btcd: mempool's way", refuses(-26, "TX rejected: output already spent in mempool: output=00:0, tx=01"), unknown, "conflict"},

		{"fee", refuses(-26, "min relay fee not met, 100 < 141"), unknown, "invalid"},
		{"dust", refuses(-26, "dust"), unknown, "invalid"},
		{"script", refuses(-26, "mandatory-script-verify-flag-failed (Invalid Schnorr signature)"), unknown, "invalid"},
		{"decode", refuses(-22, "TX decode failed. Make sure the tx has at least one input."), unknown, "invalid"},
		{"rate", refuses(-25, "Fee exceeds maximum configured by user (e.g. -maxtxfee, maxfeerate)"), unknown, "invalid"},
		{"btcd: fee", refuses(-26, "TX rejected: transaction 00 has been rejected by the rate limiter due to low fees"), unknown, "invalid"},
		{"btcd: rules", refuses(-25, "TX rejected: failed to validate input"), unknown, "invalid"},

		{"busy", refuses(-26, "mempool min fee not met, 141 < 500"), unknown, "unavailable"},
		{"full", refuses(-26, "mempool full"), unknown, "unavailable"},
		{"chain of the unmined", refuses(-26, "too-long-mempool-chain, too many descendants for tx 00"), unknown, "unavailable"},
		{"starts", refuses(-28, "Loading block index..."), refuses(-28, "Loading block index..."), "unavailable"},
		{"no memory", refuses(-7, "out of memory"), unknown, "unavailable"},
		{"another tongue", reply{http.StatusOK, "<html>"}, unknown, "unavailable"},
		{"proxy", reply{http.StatusBadGateway, ""}, unknown, "unavailable"},
		{"forbidden", reply{http.StatusForbidden, ""}, unknown, "unavailable"},
		{"not asked twice", refuses(-26, "dust"), reply{http.StatusBadGateway, ""}, "invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := scripted(t, map[string]reply{"sendrawtransaction": c.send, "getrawtransaction": c.known})
			err := b.Send(t.Context(), raw.Bytes())
			if (err == nil) != (c.want == "") || err != nil && custody.CodeOf(err).String() != c.want {
				t.Errorf("%s: %v, want %q", custody.CodeOf(err), err, c.want)
			}
		})
	}
}

func TestFeeRate(t *testing.T) {
	t.Parallel()
	without := refuses(-32601, "Method not found")
	for _, c := range []struct {
		name        string
		smart, fee  reply
		rate        uint64
		ok, refused bool
	}{
		{"Bitcoin Core", says(`{"feerate":0.00001234,"blocks":2}`), reply{}, 1234, true, false},
		{"no data", says(`{"errors":["Insufficient data or no feerate found"],"blocks":2}`), reply{}, 0, false, false},
		{"btcd", without, says(`0.00070423`), 70423, true, false},
		{"btcd, exponent", without, says(`1e-05`), 1000, true, false},
		{"btcd, no data", without, says(`-1`), 0, false, false},
		{"btcd, too young", without, refuses(-32600, "Invalid request: malformed"), 0, false, false},
		{"nothing", says(`{"feerate":0}`), reply{}, 0, false, false},
		{"absurd", says(`{"feerate":1e300}`), reply{}, 0, false, false},
		{"no number", says(`{"feerate":"1"}`), reply{}, 0, false, true},
		{"neither", without, without, 0, false, true},
		{"starts", refuses(-28, "Verifying blocks..."), reply{}, 0, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := scripted(t, map[string]reply{"estimatesmartfee": c.smart, "estimatefee": c.fee})
			rate, ok, err := b.FeeRate(t.Context(), 6)
			if rate != c.rate || ok != c.ok || (err != nil) != c.refused {
				t.Errorf("%d, %t, %v", rate, ok, err)
			}
			if err != nil && custody.CodeOf(err) != custody.Unavailable {
				t.Errorf("code %s", custody.CodeOf(err))
			}
		})
	}
}

// TestLies gives answers that can't be.
func TestLies(t *testing.T) {
	t.Parallel()
	genesis := genesisHex(t)
	hash := chaincfg.RegressionNetParams.GenesisHash.String()
	other := strings.Repeat("00", 32)
	for _, c := range []struct {
		name    string
		replies map[string]reply
		says    string
	}{
		{"another block", map[string]reply{"getblockhash": says(`"` + other + `"`), "getblock": says(`"` + genesis + `"`)}, "came for"},
		{"half a block", map[string]reply{"getblockhash": says(`"` + hash + `"`), "getblock": says(`"` + genesis[:200] + `"`)}, "no block"},
		{"a block and more", map[string]reply{"getblockhash": says(`"` + hash + `"`), "getblock": says(`"` + genesis + `00"`)}, "after its end"},
		{"no hex", map[string]reply{"getblockhash": says(`"` + hash + `"`), "getblock": says(`"xx"`)}, "hex"},
		{"no hash", map[string]reply{"getblockhash": says(`"abc"`)}, "wrong type"},
		{"a number", map[string]reply{"getblockhash": says(`1`)}, "wrong type"},
		{"nothing", map[string]reply{"getblockhash": {http.StatusOK, `{}`}}, "wrong type"},
		{"two results", map[string]reply{"getblockhash": {http.StatusOK, `{"result":1,"result":2}`}}, "no answer"},
		{"without end", map[string]reply{"getblockhash": {http.StatusOK, strings.Repeat(" ", maxAnswer+1)}}, "more than 1048576 bytes"},
		{"unexpected refusal", map[string]reply{"getblockhash": refuses(-20, "database")}, `the node says "database" (-20)`},
		{"long words", map[string]reply{"getblockhash": refuses(-20, strings.Repeat("a", 100_000))}, strings.Repeat("a", 500) + `" (-20)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := scripted(t, c.replies).Block(t.Context(), 0)
			if err == nil || custody.CodeOf(err) != custody.Unavailable || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v, want unavailable and %q", custody.CodeOf(err), err, c.says)
			}
		})
	}
}

// TestNoIndex refuses a node that couldn't say which transactions it knows.
func TestNoIndex(t *testing.T) {
	t.Parallel()
	hash := says(`"` + chaincfg.RegressionNetParams.GenesisHash.String() + `"`)
	b := scripted(t, map[string]reply{
		"getblockhash": hash, "getblock": says(`"` + genesisHex(t) + `"`),
		"getrawtransaction": refuses(-5, "No such mempool transaction. Use -txindex"),
	})
	if err := b.Check(t.Context()); custody.CodeOf(err) != custody.Invalid || !strings.Contains(err.Error(), "txindex") {
		t.Errorf("%v", err)
	}
}

// TestSilence gives up on a node that doesn't answer.
func TestSilence(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	b, err := NewBitcoin(BitcoinConfig{Network: bitcoin.Regtest, URL: server.URL, Client: &http.Client{Timeout: 10 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Tip(t.Context()); custody.CodeOf(err) != custody.Unavailable {
		t.Errorf("%v", err)
	}
}

func TestPasswordIsRedacted(t *testing.T) {
	t.Parallel()
	c := BitcoinConfig{Password: "hush"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, c); strings.Contains(got, "hush") || strings.Contains(got, "68757368") {
			t.Errorf("%s: %s", verb, got)
		}
	}
	if b, err := json.Marshal(c.Password); err != nil || string(b) != `"redacted"` {
		t.Errorf("JSON: %s, %v", b, err)
	}
}

func genesisHex(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	if err := chaincfg.RegressionNetParams.GenesisBlock.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b.Bytes())
}

// FuzzAnswer reads any answer without harm: it is a result of the wanted type or
// an error that a caller can act on.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"result":"00","error":null,"id":1}`))
	f.Add(500, []byte(`{"result":null,"error":{"code":-26,"message":"dust"},"id":1}`))
	f.Add(401, []byte(``))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		var hash custody.Hash
		err := answer("getblockhash", status, body, &hash)
		if said, ok := errors.AsType[*refusal](err); ok {
			if code := verdict(said); code != custody.Invalid && code != custody.Conflict && code != custody.Unavailable {
				t.Errorf("verdict %s", code)
			}
		} else if err != nil && custody.CodeOf(err) != custody.Unavailable {
			t.Errorf("code of %v", err)
		}
	})
}

// FuzzBlock holds what is read of a block against the block itself.
func FuzzBlock(f *testing.F) {
	f.Add(genesisHex(f))
	f.Fuzz(func(t *testing.T, text string) {
		block, err := parseBlock(text)
		if err != nil {
			return
		}
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		var m wire.MsgBlock
		if err := m.Deserialize(bytes.NewReader(raw)); err != nil || len(block.Transactions) != len(m.Transactions) {
			t.Fatalf("%d transactions of %d: %v", len(block.Transactions), len(m.Transactions), err)
		}
		for i, tx := range m.Transactions {
			if got := block.Transactions[i]; got.ID.String() != tx.TxHash().String() || len(got.Outputs) != len(tx.TxOut) {
				t.Errorf("transaction %d: %+v", i, got)
			}
		}
	})
}
