package manifest

import (
	"bytes"
	"strconv"
	"strings"
)

// Mentions reports whether text can contain word, which is ASCII, in a YAML or
// JSON string: literally, or with characters written as \x, \u or \U escapes. It
// may say yes wrongly, never no.
func Mentions(text []byte, word string) bool {
	return bytes.Contains(text, []byte(word)) || escapes(text, word)
}

// escapes reports whether text has an escape sequence for a character of word.
func escapes(text []byte, word string) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 || i+1 == len(text) {
			return false
		}
		digits := 0
		switch text[i+1] {
		case 'x':
			digits = 2
		case 'u':
			digits = 4
		case 'U':
			digits = 8
		}
		text = text[i+2:]
		if digits == 0 || len(text) < digits {
			continue
		}
		if r, err := strconv.ParseUint(string(text[:digits]), 16, 32); err == nil && strings.ContainsRune(word, rune(r)) {
			return true
		}
	}
}
