// Package flagvalue parses the values of flags that several programs share.
package flagvalue

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// SecretReference reads "namespace/name".
func SecretReference(text string) (corev1.SecretReference, error) {
	namespace, name, _ := strings.Cut(text, "/")
	if namespace == "" || name == "" || strings.Contains(name, "/") {
		return corev1.SecretReference{}, errors.New("must be namespace/name")
	}
	return corev1.SecretReference{Namespace: namespace, Name: name}, nil
}

// OptionalSecretReference is [SecretReference] of a text that may be empty.
func OptionalSecretReference(text string) (corev1.SecretReference, error) {
	if text == "" {
		return corev1.SecretReference{}, nil
	}
	return SecretReference(text)
}

// Prefixes reads ranges of addresses, such as 10.0.0.0/8. Errors name the flag and the
// value.
func Prefixes(flag string, texts []string) ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", flag, text, err)
		}
		all = append(all, prefix.Masked())
	}
	return all, nil
}
