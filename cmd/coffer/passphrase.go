package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/cofferhq/coffer/internal/keyfile"
)

const passphraseUsage = "file whose first line is the passphrase; otherwise it is asked for"

// newPassphrase takes the passphrase of a new key file from a file or, twice, from
// the terminal. It never comes from a flag or the environment.
func newPassphrase(cmd *cobra.Command, file string) (string, error) {
	passphrase, err := passphraseFrom(cmd, file, "Passphrase for the new key file: ")
	if err != nil {
		return "", err
	}
	if err := keyfile.CheckPassphrase(passphrase); err != nil {
		return "", asUsage(err)
	}
	if file == "" {
		again, err := passphraseFrom(cmd, "", "The same again: ")
		if err != nil {
			return "", err
		}
		if again != passphrase {
			return "", usagef("the two passphrases differ")
		}
	}
	return passphrase, nil
}

// passphraseFrom takes a passphrase from a file or from the terminal.
func passphraseFrom(cmd *cobra.Command, file, prompt string) (string, error) {
	if file != "" {
		raw, err := readFile(file, maxKeyFile)
		if err != nil {
			return "", err
		}
		line, err := keyfile.FirstLine(raw)
		if err != nil {
			return "", usagef("%s: %v", file, err)
		}
		return line, nil
	}
	in, ok := terminal(cmd)
	if !ok {
		return "", usagef("--passphrase-file is required where there is no terminal")
	}
	fmt.Fprint(cmd.ErrOrStderr(), prompt)
	raw, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return "", fmt.Errorf("read the passphrase: %w", err)
	}
	if len(raw) == 0 {
		return "", usagef("the passphrase is empty")
	}
	return string(raw), nil
}

// terminal returns standard input if somebody sits there.
func terminal(cmd *cobra.Command) (*os.File, bool) {
	in, ok := cmd.InOrStdin().(*os.File)
	return in, ok && term.IsTerminal(int(in.Fd()))
}

// confirm asks a question on the terminal, where only the word yes agrees.
func confirm(cmd *cobra.Command, question string) error {
	in, ok := terminal(cmd)
	if !ok {
		return usagef("--yes is required where there is no terminal to ask on")
	}
	fmt.Fprint(cmd.ErrOrStderr(), question)
	// Byte by byte: what follows the line is for the next question.
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		_, err := in.Read(b)
		if errors.Is(err, io.EOF) || err == nil && b[0] == '\n' {
			break
		} else if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
	}
	if strings.TrimSpace(string(line)) != "yes" {
		return errors.New("not confirmed: nothing was signed")
	}
	return nil
}
