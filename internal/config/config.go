// Package config reads the daemons' configuration: one TOML file each, read strictly,
// in which relative paths are beside the file. Start from [Read].
package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/cofferhq/coffer/internal/custody"
)

// Path is a file or directory; in the file relative to the file's own place.
type Path string

// maxFile bounds a configuration file, in bytes.
const maxFile = 64 << 10

// Read reads a file into a pointer to a struct. Unknown keys and values of the wrong
// type are refused with their line. The error is of code [custody.Invalid].
func Read(file string, into any) error {
	if file == "" {
		return &custody.Error{Code: custody.Invalid, Field: "--config", Message: "is required"}
	}
	raw, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return &custody.Error{Code: custody.Invalid, Message: err.Error()}
	}
	if len(raw) > maxFile {
		return &custody.Error{Code: custody.Invalid, Message: fmt.Sprintf("%s: more than %d bytes", file, maxFile)}
	}
	d := toml.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return &custody.Error{Code: custody.Invalid, Message: explain(file, err)}
	}
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return err
	}
	resolve(reflect.ValueOf(into).Elem(), dir)
	return nil
}

// explain names the line and the key, without the value, which may be a secret.
func explain(file string, err error) string {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		line, column := first.Position()
		return fmt.Sprintf("%s:%d:%d: unknown key %s", file, line, column, strings.Join(first.Key(), "."))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, column := wrong.Position()
		return fmt.Sprintf("%s:%d:%d: not valid TOML, or a value of the wrong type", file, line, column)
	}
	return file + ": not valid TOML"
}

// resolve makes all paths absolute.
func resolve(v reflect.Value, dir string) {
	switch v.Kind() { //nolint:exhaustive // the others hold no path
	case reflect.Struct:
		for _, field := range v.Fields() {
			resolve(field, dir)
		}
	case reflect.Slice:
		for i := range v.Len() {
			resolve(v.Index(i), dir)
		}
	case reflect.String:
		if p := v.String(); v.Type() == reflect.TypeFor[Path]() && p != "" && !filepath.IsAbs(p) {
			v.SetString(filepath.Join(dir, p))
		}
	}
}
