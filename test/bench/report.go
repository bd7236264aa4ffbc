package main

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/cephferry/cephferry/test/bench/document"
)

const (
	root      = "."
	published = "docs/performance.md"
)

// report prints what parts have measured beside what is published, and publishes it if asked.
type report struct {
	out       io.Writer
	published *document.Document
	// hashes are of the code as it was before it was measured, by its paths.
	hashes map[string]string
	write  bool
	slower []string
}

func newReport(out io.Writer, write bool) (*report, error) {
	text, err := os.ReadFile(published)
	if err != nil {
		return nil, err
	}
	r := &report{out: out, write: write, hashes: map[string]string{}}
	if r.published, err = document.Parse(string(text)); err != nil {
		return nil, fmt.Errorf("read %s: %w", published, err)
	}
	for _, mark := range r.published.Marks() {
		if r.hashes[fmt.Sprint(mark.Code)], err = document.Hash(root, mark.Code); err != nil {
			return nil, fmt.Errorf("read the code of %q: %w", mark, err)
		}
	}
	return r, nil
}

// add takes what a part has printed.
func (r *report) add(part string, printed *bytes.Buffer) error {
	tables := document.Tables(printed.String())
	for _, measured := range tables {
		shown, slower := document.Beside(measured, r.published.Table(measured.Title))
		table(r.out, shown.Title, shown.Header, shown.Rows)
		r.slower = append(r.slower, slower...)
	}
	if !r.write {
		return nil
	}
	hash := func(code []string) (string, error) { return r.hashes[fmt.Sprint(code)], nil }
	if err := r.published.Put(part, tables, hash); err != nil {
		return err
	}
	return os.WriteFile(published, []byte(r.published.String()), 0o644)
}

// end prints what got slower.
func (r *report) end() {
	if len(r.slower) == 0 {
		return
	}
	fmt.Fprintln(r.out, "\nMore than 1.5 times what is published:")
	for _, line := range r.slower {
		fmt.Fprintln(r.out, "-", line)
	}
}
