//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package goceph

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/ceph/go-ceph/rados"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// aes256k is the type of the keys that Ceph makes since 19.2.6 and 20.2.4. Older libraries
// say "invalid argument" to them, or that there is no key.
const aes256k = 2

// keyType is the type of a key in base64: its first two bytes, little-endian. It is 0 for what
// is no key.
func keyType(key string) uint16 {
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key))
	if err != nil || len(data) < 2 {
		return 0
	}
	return binary.LittleEndian.Uint16(data)
}

// explain says of an error of connecting that the key is of a type that the library does not
// know, if it is.
func (c Config) explain(err error, conn *rados.Conn) error {
	if !errors.Is(err, ceph.ErrSettings) && !errors.Is(err, ceph.ErrAuth) || keyType(c.key(conn)) != aes256k {
		return err
	}
	major, minor, patch := rados.Version()
	return fmt.Errorf("%w (librados %d.%d.%d: %v)", ceph.ErrKeyType, major, minor, patch, err) //nolint:errorlint // it is the type of the key now, and not what librados took it for
}

// key is the key that librados connects with, empty if it cannot be found out.
func (c Config) key(conn *rados.Conn) string {
	if c.Key != "" {
		return c.Key
	}
	if key, err := conn.GetConfigOption("key"); err == nil && key != "" {
		return key
	}
	// librados takes the first file that it can read.
	files, err := conn.GetConfigOption("keyring")
	if err != nil {
		return ""
	}
	for _, path := range strings.FieldsFunc(files, func(r rune) bool { return r == ',' || r == ';' || r == ' ' }) {
		if file, err := os.Open(path); err == nil {
			defer file.Close()
			return keyIn(bufio.NewScanner(file), "client."+c.user())
		}
	}
	return ""
}

// keyIn is the key of a user in a keyring.
func keyIn(lines *bufio.Scanner, user string) string {
	section := ""
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		name, value, _ := strings.Cut(line, "=")
		if section == user && strings.TrimSpace(name) == "key" {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return ""
}
