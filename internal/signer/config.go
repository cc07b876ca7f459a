package signer

import (
	"errors"

	"github.com/cofferhq/coffer/internal/config"
	"github.com/cofferhq/coffer/internal/custody"
)

// File is a node's configuration file.
type File struct {
	Key        config.Path `toml:"key" comment:"the node's key file, of coffer node new"`
	Passphrase config.Path `toml:"passphrase_file" comment:"its first line opens the key file and the data directory; mode 0600"`
	Charter    config.Path `toml:"charter" comment:"the signed charter"`
	Trust      config.Path `toml:"trust" comment:"the trust file that this node's operator made of it, with coffer charter pin"`
	Data       config.Path `toml:"data" comment:"directory of shares and journal; made if it isn't there"`
	WorkFactor int         `toml:"work_factor,omitempty" comment:"binary logarithm of what scrypt costs where the data directory is made; 18 unless given"`
	Bus        Bus         `toml:"bus"`
}

// Bus is where the broker is.
type Bus struct {
	URL   string      `toml:"url" comment:"of the broker, such as nats://127.0.0.1:4222"`
	Token config.Path `toml:"token_file" comment:"its first line is the broker's token; mode 0600"`
}

// Validate says everything that lacks.
func (f *File) Validate() error {
	var errs []error
	for _, v := range []struct {
		key   string
		value string
	}{
		{"key", string(f.Key)},
		{"passphrase_file", string(f.Passphrase)},
		{"charter", string(f.Charter)},
		{"trust", string(f.Trust)},
		{"data", string(f.Data)},
		{"bus.url", f.Bus.URL},
		{"bus.token_file", string(f.Bus.Token)},
	} {
		if v.value == "" {
			errs = append(errs, &custody.Error{Code: custody.Invalid, Field: v.key, Message: "missing"})
		}
	}
	return errors.Join(errs...)
}
