package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// runCert makes an authority and one certificate of it for loopback, which serves servers and clients alike.
func runCert(_ context.Context, args []string) error {
	var set, _ = newFlags("cert")
	var dir string
	set.StringVar(&dir, "dir", ".", "")
	_ = set.Parse(args)

	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	var now = time.Now()
	var ca = &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "harness authority"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	var leaf = &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "harness"},
		NotBefore:    ca.NotBefore,
		NotAfter:     ca.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	var out = map[string]string{}
	for _, each := range []struct {
		name, kind string
		der        []byte
	}{
		{"ca", "CERTIFICATE", caDER},
		{"cert", "CERTIFICATE", leafDER},
		{"key", "PRIVATE KEY", keyDER},
	} {
		var path = filepath.Join(dir, each.name+".pem")
		var text = pem.EncodeToMemory(&pem.Block{Type: each.kind, Bytes: each.der})
		if err = os.WriteFile(path, text, 0o600); err != nil {
			return err
		}
		out[each.name+"File"] = path
	}
	return print(out)
}
