package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
)

// outputFormat is --output; empty: a table for people.
type outputFormat string

// wide is the table with further columns.
const wide outputFormat = "wide"

func (o *outputFormat) addTo(flags *pflag.FlagSet) {
	flags.StringVarP((*string)(o), "output", "o", "", "`format`: wide, json, yaml, name or jsonpath=TEMPLATE; with --direct json or yaml; default: a table")
}

// isTable reports whether people read it.
func (o outputFormat) isTable() bool { return o == "" || o == wide }

// check is for the formats that there are with --direct.
func (o outputFormat) check() error {
	switch o {
	case "", "json", "yaml":
		return nil
	default:
		return fmt.Errorf("--output %s: must be json or yaml", o)
	}
}

// encode is the list as a document of one of those formats, which is not the table.
func (o outputFormat) encode(list any) ([]byte, error) {
	if o == "yaml" {
		return yaml.Marshal(list)
	}
	document, err := json.MarshalIndent(list, "", "  ")
	return append(document, '\n'), err
}

// printer prints objects as kubectl does. It is nil for tables.
func (o outputFormat) printer() (printers.ResourcePrinter, error) {
	if o.isTable() {
		return nil, nil
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	setter := printers.NewTypeSetter(scheme)
	format := string(o)
	for _, kind := range []interface {
		ToPrinter(string) (printers.ResourcePrinter, error)
	}{
		genericclioptions.NewJSONYamlPrintFlags(), genericclioptions.NewNamePrintFlags(""), &genericclioptions.JSONPathPrintFlags{},
	} {
		printer, err := kind.ToPrinter(format)
		if !genericclioptions.IsNoCompatiblePrinterError(err) {
			if err != nil {
				return nil, fmt.Errorf("--output %s: %w", format, err)
			}
			return setter.WrapToPrinter(printer, nil)
		}
	}
	return nil, fmt.Errorf("--output %s: must be wide, json, yaml, name or jsonpath=TEMPLATE", format)
}

// printList prints a list of objects of one kind.
func (o outputFormat) printList(printer printers.ResourcePrinter, list runtime.Object, kind string, out io.Writer) error {
	err := meta.EachListItem(list, func(item runtime.Object) error {
		item.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		if o == "name" {
			return printer.PrintObj(item, out)
		}
		return nil
	})
	if err != nil || o == "name" {
		return err
	}
	return printer.PrintObj(list, out)
}

// The colours of a terminal. All have the same length, so that columns stay in line.
const (
	plain = "\x1b[39m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	amber = "\x1b[33m"
	reset = "\x1b[39m"
)

// paint gives a text its colour, if the terminal has any.
func (s streams) paint(colour, text string) string {
	if !s.colour || strings.TrimSpace(text) == "" {
		return text
	}
	return colour + text + reset
}
