package main

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/version"
	"github.com/cephferry/cephferry/pkg/volumes"
)

func TestParseFlags(t *testing.T) {
	defaults := options{
		cluster: "west", scope: volumes.ScopeMigratable, configNamespaces: []string{"rook-ceph"},
		provisioner:    true,
		keyed:          true,
		admissionGrace: 75 * time.Second,
		webhookPort:    9443, metricsAddress: ":8080", probeAddress: ":8081", certDir: "/certs",
		service: "cephferry-webhook", configuration: "cephferry", namespace: "cephferry-system",
		help:     "https://github.com/cephferry/cephferry/blob/main/docs/troubleshooting.md",
		logLevel: "info", logFormat: "json",
	}
	changed := defaults
	changed.scope = volumes.ScopeAll
	changed.configNamespaces = []string{"ceph", "rook"}
	changed.secret = corev1.SecretReference{Namespace: "ceph", Name: "observer"}
	changed.secrets = map[string]corev1.SecretReference{"far": {Namespace: "vault", Name: "far"}}
	changed.provisioner, changed.keyed = false, false
	changed.localCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/64")}
	changed.exemptCIDRs = []netip.Prefix{netip.MustParsePrefix("192.168.7.9/32")}
	changed.admissionGrace = 10 * time.Minute
	changed.help, changed.logLevel, changed.logFormat = "", "debug", "text"
	for name, test := range map[string]struct {
		args []string
		want options
	}{
		"only what is required": {[]string{"--cluster-name=west"}, defaults},
		"everything that shapes decisions": {[]string{
			"--cluster-name=west", "--scope=all", "--ceph-config-namespace=ceph", "--ceph-config-namespace=rook",
			"--ceph-secret=ceph/observer", "--cluster-ceph-secret=far=vault/far", "--provisioner=false", "--keyed=false", "--local-cidr=10.1.2.3/8", "--local-cidr=fd00::1/64", "--exempt-cidr=192.168.7.9/32",
			"--admission-grace=10m", "--troubleshooting-url=", "--log-level=debug", "--log-format=text",
		}, changed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseFlags(test.args, func(string) string { return "cephferry-system" })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(options{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRunRefusesFlags(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no cluster name":         {nil, "--cluster-name: required"},
		"unknown scope":           {[]string{"--cluster-name=west", "--scope=some"}, "--scope some: must be migratable or all"},
		"secret without name":     {[]string{"--cluster-name=west", "--ceph-secret=observer"}, "--ceph-secret observer: must be namespace/name"},
		"secret of no cluster":    {[]string{"--cluster-name=west", "--cluster-ceph-secret=vault/far"}, "--cluster-ceph-secret vault/far: must be clusterID=namespace/name"},
		"address for a range":     {[]string{"--cluster-name=west", "--local-cidr=10.0.0.1"}, `--local-cidr 10.0.0.1: netip.ParsePrefix("10.0.0.1"): no '/'`},
		"exempt without a number": {[]string{"--cluster-name=west", "--exempt-cidr=mirror/8"}, `--exempt-cidr mirror/8: netip.ParsePrefix("mirror/8"): ParseAddr("mirror"): unable to parse IP`},
		"no grace":                {[]string{"--cluster-name=west", "--admission-grace=0s"}, "--admission-grace 0s: must be longer than the API server's --request-timeout"},
		"no page to read on":      {[]string{"--cluster-name=west", "--troubleshooting-url=docs/help.md"}, "--troubleshooting-url docs/help.md: must be the URL of a page, such as https://host/page"},
		"no level of a log":       {[]string{"--cluster-name=west", "--log-level=loud"}, "--log-level loud: must be debug, info or error"},
		"no format of a log":      {[]string{"--cluster-name=west", "--log-format=xml"}, "--log-format xml: must be json or text"},
		"own namespace unknown":   {[]string{"--cluster-name=west", "--cert-secret=tls"}, "--cert-secret tls: POD_NAMESPACE is not set"},
		"an argument":             {[]string{"--cluster-name=west", "serve"}, `unexpected argument "serve"`},
		"unknown flag":            {[]string{"--cluster=west"}, "unknown flag: --cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(test.args, func(string) string { return "" }, &stdout, &stderr)
			if diff := cmp.Diff("webhook: "+test.want+"\n", stderr.String()); code != 1 || stdout.Len() > 0 || diff != "" {
				t.Errorf("code %d, stdout %q, stderr (-want +got):\n%s", code, stdout.String(), diff)
			}
		})
	}
}

func TestVersionAndHelp(t *testing.T) {
	for flag, want := range map[string]string{"--version": version.String() + "\n", "--help": help()} {
		var stdout, stderr bytes.Buffer
		if code := run([]string{flag}, func(string) string { return "" }, &stdout, &stderr); code != 0 || stdout.String() != want || stderr.Len() > 0 {
			t.Errorf("%s: code %d, stdout %q, stderr %q", flag, code, stdout.String(), stderr.String())
		}
	}
}
