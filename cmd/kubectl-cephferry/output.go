package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// outputFormat is a format for scripts; empty: a table for people.
type outputFormat string

func (o *outputFormat) addTo(flags *pflag.FlagSet) {
	flags.StringVarP((*string)(o), "output", "o", "", "`format`: json or yaml; default: a table")
}

func (o outputFormat) check() error {
	switch o {
	case "", "json", "yaml":
		return nil
	default:
		return fmt.Errorf("--output %s: must be json or yaml", o)
	}
}

// encode is the list as a document of that format, which is not the table.
func (o outputFormat) encode(list any) ([]byte, error) {
	if o == "yaml" {
		return yaml.Marshal(list)
	}
	document, err := json.MarshalIndent(list, "", "  ")
	return append(document, '\n'), err
}
