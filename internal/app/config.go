package app

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/cofferhq/coffer/internal/chain/bitcoin"
	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/custody"
)

// File is the control plane's configuration file.
type File struct {
	Key        config.Path `toml:"key" comment:"the control plane's key file, of coffer control new"`
	Passphrase config.Path `toml:"passphrase_file" comment:"its first line opens the key file; mode 0600"`
	Charter    config.Path `toml:"charter" comment:"the signed charter: the journal's first entry"`
	Trust      config.Path `toml:"trust" comment:"the trust file that pins it, of coffer charter pin"`
	Database   config.Path `toml:"database" comment:"the SQLite file; made if it isn't there"`
	HTTP       HTTP        `toml:"http"`
	Bus        Bus         `toml:"bus"`
	Bitcoin    []Bitcoin   `toml:"bitcoin"`
}

// HTTP is where the API is served.
type HTTP struct {
	Listen string      `toml:"listen" comment:"host:port of the API, plain HTTP: put TLS in front of it, or keep it on the loopback"`
	Token  config.Path `toml:"token_file" comment:"its first line is what callers show as bearer token; mode 0600"`
}

// Bus is the embedded broker.
type Bus struct {
	Host  string      `toml:"host" comment:"address at which nodes reach the embedded broker"`
	Port  int         `toml:"port"`
	Token config.Path `toml:"token_file" comment:"its first line is the broker's token; mode 0600"`
}

// Bitcoin is a node of a Bitcoin network.
type Bitcoin struct {
	Network       string      `toml:"network" comment:"CAIP-2, such as bip122:000000000019d6689c085ae165831e93"`
	URL           string      `toml:"url" comment:"of its JSON-RPC"`
	User          string      `toml:"user"`
	Password      config.Path `toml:"password_file" comment:"its first line; mode 0600"`
	Confirmations int64       `toml:"confirmations" comment:"blocks until a transaction is CONFIRMED; 3 unless given"`
	Final         int64       `toml:"final" comment:"blocks until it is FINALIZED; 6 unless given"`
	FeeRate       uint64      `toml:"fee_rate" comment:"satoshi per 1,000 virtual bytes where the node estimates none; 2000 unless given"`
	Poll          string      `toml:"poll" comment:"how often to look for a new block; 5s unless given"`
	Start         int64       `toml:"start" comment:"height of the first block to read"`
}

// Validate fills in what has a default and says everything that lacks or is wrong.
func (f *File) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, &custody.Error{Code: custody.Invalid, Field: field, Message: fmt.Sprintf(format, args...)})
	}
	for _, v := range []struct{ key, value string }{
		{"key", string(f.Key)},
		{"passphrase_file", string(f.Passphrase)},
		{"charter", string(f.Charter)},
		{"trust", string(f.Trust)},
		{"database", string(f.Database)},
		{"http.listen", f.HTTP.Listen},
		{"http.token_file", string(f.HTTP.Token)},
		{"bus.token_file", string(f.Bus.Token)},
	} {
		if v.value == "" {
			wrong(v.key, "missing")
		}
	}
	if _, port, err := net.SplitHostPort(f.HTTP.Listen); f.HTTP.Listen != "" && (err != nil || !validPort(port)) {
		wrong("http.listen", "not host:port")
	}
	if f.Bus.Port < 0 || f.Bus.Port > 65535 {
		wrong("bus.port", "not a port")
	}
	known := make(map[string]bool)
	for i := range f.Bitcoin {
		b := &f.Bitcoin[i]
		at := fmt.Sprintf("bitcoin.%d.", i)
		if b.Confirmations == 0 {
			b.Confirmations = 3
		}
		if b.Final == 0 {
			b.Final = max(6, b.Confirmations)
		}
		if b.FeeRate == 0 {
			b.FeeRate = 2000
		}
		if b.Poll == "" {
			b.Poll = "5s"
		}
		switch {
		case !bitcoin.Knows(custody.Network(b.Network)):
			wrong(at+"network", "not a CAIP-2 network of Bitcoin that is known")
		case known[b.Network]:
			wrong(at+"network", "given twice")
		}
		known[b.Network] = true
		if b.URL == "" {
			wrong(at+"url", "missing")
		}
		if b.Start < 0 {
			wrong(at+"start", "negative")
		}
		if b.FeeRate < 1000 || b.FeeRate > bitcoin.MaxFeeRate {
			wrong(at+"fee_rate", "between 1,000 and %d", bitcoin.MaxFeeRate)
		}
		if b.Confirmations < 1 || b.Final < b.Confirmations {
			wrong(at+"final", "at least confirmations, which is at least 1")
		}
		if d, err := time.ParseDuration(b.Poll); err != nil || d < 10*time.Millisecond || d > time.Hour {
			wrong(at+"poll", "a length of time between 10ms and 1h")
		}
	}
	return errors.Join(errs...)
}

func validPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}
