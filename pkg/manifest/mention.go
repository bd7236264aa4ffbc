package manifest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Mentions reports whether text can contain word, which is ASCII, in a YAML or
// JSON string: literally, with characters written as \x, \u or \U escapes, or
// broken over lines with escaped line ends. It may say yes wrongly, never no.
func Mentions(text []byte, word string) bool {
	if bytes.Contains(text, []byte(word)) {
		return true
	}
	broken := false
	for rest := text; ; {
		i := bytes.IndexByte(rest, '\\')
		if i < 0 || i+1 == len(rest) {
			break
		}
		rest = rest[i+1:]
		switch rest[0] {
		case 'x':
			if escapes(rest[1:], 2, word) {
				return true
			}
		case 'u':
			if escapes(rest[1:], 4, word) {
				return true
			}
		case 'U':
			if escapes(rest[1:], 8, word) {
				return true
			}
		case '\r', '\n':
			broken = true
		}
		rest = rest[1:]
	}
	return broken && bytes.Contains(escapedLineEnd().ReplaceAll(text, nil), []byte(word))
}

// escapedLineEnd matches what a YAML parser drops of a double-quoted string that
// goes on in the next line.
var escapedLineEnd = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\\\r?\n[ \t]*`)
})

// escapes reports whether text starts with that many hexadecimal digits that
// stand for a character of word.
func escapes(text []byte, digits int, word string) bool {
	if len(text) < digits {
		return false
	}
	r, err := strconv.ParseUint(string(text[:digits]), 16, 32)
	return err == nil && strings.ContainsRune(word, rune(r))
}
