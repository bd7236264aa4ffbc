package manifest

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"
)

// Mentions reports whether text can contain word, which is ASCII, in a YAML or
// JSON string: literally, with characters written as \x, \u or \U escapes, or
// broken over lines with escaped line ends. It may say yes wrongly, never no.
func Mentions(text []byte, word string) bool {
	return bytes.Contains(text, []byte(word)) || escapes(text, word) || breaks(text, word)
}

// escapedLineEnd matches what a YAML parser drops of a double-quoted string that
// goes on in the next line.
var escapedLineEnd = regexp.MustCompile(`\\\r?\n[ \t]*`)

// breaks reports whether text has word with an escaped line end in it.
func breaks(text []byte, word string) bool {
	if !bytes.Contains(text, []byte("\\\n")) && !bytes.Contains(text, []byte("\\\r\n")) {
		return false
	}
	return bytes.Contains(escapedLineEnd.ReplaceAll(text, nil), []byte(word))
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
