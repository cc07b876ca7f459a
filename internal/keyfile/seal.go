package keyfile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/cofferhq/coffer/internal/custody"
)

// The work factor is the binary logarithm of scrypt's cost N (RFC 7914 §2; r is 8, p
// is 1): what sealing costs, and what each guess at the passphrase does. 18 takes about
// a second and 256 MiB. Less is for passphrases that nobody can guess, of 128 random
// bits or more.
const (
	MinWorkFactor     = 10
	DefaultWorkFactor = 18
	MaxWorkFactor     = 22 // 4 GiB
)

// Seal encrypts at most [MaxSize] bytes under a passphrase: an age file in ASCII armor,
// which [Unseal] opens.
func Seal(plain []byte, passphrase string, workFactor int) ([]byte, error) {
	if workFactor < MinWorkFactor || workFactor > MaxWorkFactor {
		return nil, invalidf("a work factor is %d to %d, not %d", MinWorkFactor, MaxWorkFactor, workFactor)
	}
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(workFactor)
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, r)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := errors.Join(w.Close(), text.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Unseal opens what [Seal] made. The caller clears the result. A wrong passphrase and
// damage are told apart; both are Invalid.
func Unseal(sealed []byte, passphrase string) ([]byte, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, invalidf("%v", err)
	}
	id.SetMaxWorkFactor(MaxWorkFactor)
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(sealed)), id)
	if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
		return nil, invalidf("the passphrase is wrong")
	} else if err != nil {
		return nil, invalidf("not a key file: %v", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, MaxSize))
	if err != nil {
		return nil, invalidf("damaged: %v", err)
	}
	return plain, nil
}

// MinPassphrase is the shortest passphrase of what is sealed anew, in characters.
const MinPassphrase = 12

// CheckPassphrase refuses a passphrase that is too short to seal with.
func CheckPassphrase(passphrase string) error {
	if n := utf8.RuneCountInString(passphrase); n < MinPassphrase {
		return invalidf("a passphrase has at least %d characters, this one has %d", MinPassphrase, n)
	}
	return nil
}

// ReadPassphrase returns the first line of a file, which the group and others must not
// be able to read: its mode is 0600 or stricter.
func ReadPassphrase(file string) (string, error) {
	raw, mode, err := read(file, MaxSize)
	if err != nil {
		return "", err
	}
	defer clear(raw)
	if mode.Perm()&0o077 != 0 {
		return "", invalidf("%s: mode %#o lets others at the passphrase, it must be 0600 or stricter", file, mode.Perm())
	}
	passphrase, err := FirstLine(raw)
	if err != nil {
		return "", invalid(file, err)
	}
	return passphrase, nil
}

// FirstLine returns the passphrase in the content of a passphrase file: its first line,
// without the end of line, which is \n or \r\n.
func FirstLine(content []byte) (string, error) {
	line, _, _ := strings.Cut(string(content), "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", &custody.Error{Code: custody.Invalid, Message: "its first line is empty"}
	}
	return line, nil
}
