package document

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Hash is that of the code at paths below root, which are files or folders; of a folder
// it takes all files but tests, not those of folders in it, and not a file that is among the
// paths with a "-" before it. It is the same whatever comments in Go say, how lines are broken
// there, and what files are called.
func Hash(root string, paths []string) (string, error) {
	var sums []string
	for _, path := range paths {
		if left, ok := strings.CutPrefix(path, "-"); ok {
			if _, err := os.Stat(filepath.Join(root, left)); err != nil {
				return "", err
			}
			continue
		}
		files := []string{filepath.Join(root, path)}
		if !isCode(path) {
			all, err := filepath.Glob(filepath.Join(root, path, "*.*"))
			if err != nil {
				return "", err
			}
			files = slices.DeleteFunc(all, func(file string) bool {
				relative, err := filepath.Rel(root, file)
				return !isCode(file) || strings.HasSuffix(file, "_test.go") || err == nil && slices.Contains(paths, "-"+relative)
			})
		}
		if len(files) == 0 {
			return "", fmt.Errorf("folder %q has no code", path)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				return "", err
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(source))
			if filepath.Ext(file) == ".go" {
				if sum, err = hashSource(file, source); err != nil {
					return "", err
				}
			}
			sums = append(sums, sum)
		}
	}
	slices.Sort(sums)
	all := sha256.Sum256([]byte(strings.Join(sums, "\n")))
	return hex.EncodeToString(all[:6]), nil
}

func isCode(file string) bool {
	return slices.Contains([]string{".go", ".c", ".cc", ".cpp", ".h", ".s"}, filepath.Ext(file))
}

// hashSource is the hash of a file's tokens. Of comments only those are tokens that the
// compiler reads: directives, and in a file with cgo all of them.
func hashSource(file string, source []byte) (string, error) {
	files := token.NewFileSet()
	var s scanner.Scanner
	var failed error
	s.Init(files.AddFile(file, files.Base(), len(source)), source, func(at token.Position, message string) {
		failed = fmt.Errorf("read %s: %s", at, message)
	}, scanner.ScanComments)
	cgo := strings.Contains(string(source), "import \"C\"")
	hash := sha256.New()
	comma := false
	for {
		_, kind, literal := s.Scan()
		closes := kind == token.RPAREN || kind == token.RBRACK || kind == token.RBRACE
		switch {
		case kind == token.EOF:
			return hex.EncodeToString(hash.Sum(nil)), failed
		case kind == token.SEMICOLON: // or the end of a line
			continue
		case kind == token.COMMENT && !cgo && !strings.HasPrefix(literal, "//go:"):
			continue
		}
		// The last one of a list is there if the next line closes it.
		if comma && !closes {
			fmt.Fprintln(hash, token.COMMA)
		}
		if comma = kind == token.COMMA; !comma {
			fmt.Fprintf(hash, "%s %q\n", kind, literal)
		}
	}
}
