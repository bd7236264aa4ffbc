package csiconfig

import "testing"

func TestSameCeph(t *testing.T) {
	tests := map[string]struct {
		a, b []string
		same bool
	}{
		"equal":                              {[]string{"10.0.0.1:6789", "10.0.0.2:6789"}, []string{"10.0.0.2:6789", "10.0.0.1:6789"}, true},
		"Rook's import knows one":            {[]string{"10.0.0.1:6789"}, []string{"10.0.0.2:6789", "10.0.0.1:6789"}, true},
		"none in common":                     {[]string{"10.0.0.1:6789"}, []string{"10.0.0.2:6789"}, false},
		"two clusters on one host":           {[]string{"10.0.0.1:6789"}, []string{"10.0.0.1:6790"}, false},
		"no port means either":               {[]string{"10.0.0.1"}, []string{"10.0.0.1:3300"}, true},
		"no port is not any":                 {[]string{"10.0.0.1"}, []string{"10.0.0.1:40001"}, false},
		"as mon_host has it":                 {[]string{"[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]"}, []string{"10.0.0.1:6789"}, true},
		"as mon_host has it, without nonces": {[]string{"[v2:10.0.0.1:3300,v1:10.0.0.1:6789]"}, []string{"v1:10.0.0.1:6789"}, true},
		"IPv6":                               {[]string{"[v2:[fd00::1]:3300/0,v1:[fd00::1]:6789/0]"}, []string{"[fd00::1]:6789"}, true},
		"IPv6 without nonces":                {[]string{"[v2:[fd00::1]:3300,v1:[fd00::1]:6789]"}, []string{"[fd00::1]"}, true},
		"IPv6 of another":                    {[]string{"[fd00::1]:6789"}, []string{"[fd00::2]:6789"}, false},
		"names":                              {[]string{"mon-a.example"}, []string{"mon-a.example:6789"}, true},
		"none":                               {nil, nil, false},
		"empty ones":                         {[]string{""}, []string{"", " "}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := SameCeph(test.a, test.b); got != test.same {
				t.Errorf("got %v", got)
			}
			if got := SameCeph(test.b, test.a); got != test.same {
				t.Errorf("the other way round: got %v", got)
			}
		})
	}
}

func TestOnlyV2(t *testing.T) {
	tests := map[string]struct {
		monitors []string
		only     bool
	}{
		"the port of v2":             {[]string{"10.0.0.1:3300", "10.0.0.2:3300"}, true},
		"the port of v1":             {[]string{"10.0.0.1:6789"}, false},
		"another port":               {[]string{"10.0.0.1:40001"}, false},
		"another port, called v2":    {[]string{"v2:10.0.0.1:40001"}, true},
		"another port, called v1":    {[]string{"v1:10.0.0.1:3300"}, false},
		"both":                       {[]string{"[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]"}, false},
		"one of each":                {[]string{"10.0.0.1:3300", "10.0.0.2:6789"}, false},
		"v2 alone, as mon_host says": {[]string{"[v2:[fd00::1]:3300/0]"}, true},
		"no port":                    {[]string{"10.0.0.1"}, false},
		"none":                       {nil, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := OnlyV2(test.monitors); got != test.only {
				t.Errorf("got %v", got)
			}
		})
	}
}
