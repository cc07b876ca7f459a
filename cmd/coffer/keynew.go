package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cofferhq/coffer/internal/custody"
	"github.com/cofferhq/coffer/internal/keyfile"
)

// workFactor is --work-factor where it isn't given. Tests lower it.
var workFactor = keyfile.DefaultWorkFactor

const keyFileLong = `FILE is sealed with age under a passphrase, readable by its owner alone, and never
overwritten. FILE.pub is its public part, one line of JSON, for coffer charter new:
it is no secret, but whoever makes the charter must get it unchanged. The words that
are printed tell: coffer charter show has the same beside the key.

The passphrase has at least 12 characters. It is asked for on the terminal, or
stands in the first line of --passphrase-file; no flag and no variable holds it.

--work-factor is the binary logarithm of what scrypt costs whoever opens the file, and
whoever guesses: at 18 each guess takes about a second and 256 MiB. Less than 18 is for
passphrases of 128 random bits or more only.

--json prints the public part instead of a text about it.`

func newDevice() *cobra.Command {
	cmd := group("device", "Make device keys, by which people and services sign", `A device key is a credential of a person or a service: a key in an encrypted file.
Keys of the recovery group are device keys too, kept offline.`)
	cmd.Example = "  coffer device new ida.key"
	cmd.AddCommand(newDeviceNew())
	return cmd
}

// keyFlags are those of every command that makes a key file.
type keyFlags struct {
	passphrase string
	workFactor int
	json       bool
}

func (f *keyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.passphrase, "passphrase-file", "", passphraseUsage)
	cmd.Flags().IntVar(&f.workFactor, "work-factor", workFactor, fmt.Sprintf("binary logarithm of scrypt's cost, %d to %d; less than %d is\nfor passphrases of 128 random bits or more only",
		keyfile.MinWorkFactor, keyfile.MaxWorkFactor, keyfile.DefaultWorkFactor))
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

func newDeviceNew() *cobra.Command {
	var f keyFlags
	var algorithm string
	cmd := &cobra.Command{
		Use:   "new FILE",
		Short: "Make a device key",
		Long:  "Make a device key: Ed25519, or P-256 where a bank's rules ask for it.\n\n" + keyFileLong,
		Example: `  coffer device new ida.key
  coffer device new payments.key --algorithm p256 --passphrase-file payments.pass`,
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			of, ok := map[string]custody.Algorithm{"ed25519": custody.EdDSA, "p256": custody.ES256}[algorithm]
			if !ok {
				return usagef("--algorithm must be ed25519 or p256, not %q", algorithm)
			}
			return f.make(cmd, args[0], func() (*keyfile.Fresh, error) { return keyfile.NewDevice(of, custody.At(clock())) })
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", "ed25519", "ed25519 or p256")
	f.add(cmd)
	return cmd
}

func newNode() *cobra.Command {
	cmd := group("node", "Make the keys of signer nodes and witnesses", `A signer node has two keys of its own, each Ed25519 and ML-DSA-44 together: one is
its identity, the other cosigns journal heads and nothing else. A witness that holds
no shares has the same.`)
	cmd.Example = "  coffer node new node-a.key --id node-a --institution alpha --jurisdiction CH"
	cmd.AddCommand(newNodeNew())
	return cmd
}

func newNodeNew() *cobra.Command {
	var f keyFlags
	var id, institution, jurisdiction string
	cmd := &cobra.Command{
		Use:   "new FILE --id ID --institution INSTITUTION --jurisdiction COUNTRY",
		Short: "Make the keys of a signer node",
		Long: "Make the identity key and the witness key of a signer node, or of a witness.\n\n" + keyFileLong + `

The words after "witness" are those that coffer charter show has where the node is a
witness alone, as the charter has only its witness key then.`,
		Example:               "  coffer node new node-a.key --id node-a --institution alpha --jurisdiction CH",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			n := custody.SignerNode{Sealing: custody.SealedByFile}
			for _, v := range []struct {
				flag, value string
				to          interface{ UnmarshalText(text []byte) error }
			}{
				{"id", id, &n.ID}, {"institution", institution, &n.Institution}, {"jurisdiction", jurisdiction, &n.Jurisdiction},
			} {
				if !cmd.Flags().Changed(v.flag) {
					return usagef("--%s is required", v.flag)
				}
				if err := v.to.UnmarshalText([]byte(v.value)); err != nil {
					return usagef("--%s: %v", v.flag, err)
				}
			}
			return f.make(cmd, args[0], func() (*keyfile.Fresh, error) { return keyfile.NewNode(n) })
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&id, "id", "", "its name in the charter")
	cmd.Flags().StringVar(&institution, "institution", "", "whose node it is")
	cmd.Flags().StringVar(&jurisdiction, "jurisdiction", "", "country where it stands (ISO 3166-1 alpha-2)")
	f.add(cmd)
	return cmd
}

func newControl() *cobra.Command {
	cmd := group("control", "Make the keys of the control plane", `The control plane has two keys, each Ed25519 and ML-DSA-44 together: the log key
signs checkpoints, the coordinator key sessions. Neither grants anything.`)
	cmd.Example = "  coffer control new control.key"
	var f keyFlags
	sub := &cobra.Command{
		Use:                   "new FILE",
		Short:                 "Make the log key and the coordinator key",
		Long:                  "Make the log key and the coordinator key of the control plane.\n\n" + keyFileLong,
		Example:               "  coffer control new control.key",
		Args:                  oneFile,
		DisableFlagsInUseLine: true,
		RunE:                  func(cmd *cobra.Command, args []string) error { return f.make(cmd, args[0], keyfile.NewControl) },
	}
	f.add(sub)
	cmd.AddCommand(sub)
	return cmd
}

// make makes a key, seals it and says what it is.
func (f *keyFlags) make(cmd *cobra.Command, file string, fresh func() (*keyfile.Fresh, error)) error {
	if f.workFactor < keyfile.MinWorkFactor || f.workFactor > keyfile.MaxWorkFactor {
		return usagef("--work-factor must be %d to %d, not %d", keyfile.MinWorkFactor, keyfile.MaxWorkFactor, f.workFactor)
	}
	// Before anybody is asked for a passphrase.
	if err := keyfile.CheckFree(file); err != nil {
		return asUsage(err)
	}
	passphrase, err := newPassphrase(cmd, f.passphrase)
	if err != nil {
		return err
	}
	key, err := fresh()
	if err != nil {
		return err
	}
	if err := keyfile.Write(file, passphrase, key, f.workFactor); err != nil {
		return asUsage(err)
	}
	if f.json {
		return printJSON(cmd.OutOrStdout(), key.Public)
	}
	check, err := fingerprint(key.Public)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("key     %s, sealed: keep it and its passphrase\npublic  %s.pub, for whoever makes the charter\nwords   %s\n", file, file, check)
	if n, ok := key.Public.(keyfile.NodePublic); ok {
		if check, err = fingerprint(witnessOf(n)); err != nil {
			return err
		}
		text += "witness " + check + "\n"
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), text)
	return written(err)
}

// witnessOf is what the charter has of a node that is a witness alone.
func witnessOf(n keyfile.NodePublic) custody.Witness {
	return custody.Witness{ID: n.ID, Institution: n.Institution, Key: n.WitnessKey}
}
