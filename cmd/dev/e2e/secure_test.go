package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const apiKey = "key-of-the-test"

// secured is a frontend of Temporal that demands TLS, a client certificate and an API key.
type secured struct{ address, certificate, key string }

// startSecured puts one before the shared Temporal. Its certificate is that of the client, too, and of who signs them.
func startSecured(t *testing.T) secured {
	t.Helper()
	s := secured{certificate: filepath.Join(t.TempDir(), "cert.pem"), key: filepath.Join(t.TempDir(), "key.pem")}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600))
	require.NoError(t, os.WriteFile(s.key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	pair, err := tls.LoadX509KeyPair(s.certificate, s.key)
	require.NoError(t, err)
	trusted := x509.NewCertPool()
	trusted.AddCert(pair.Leaf)

	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: shared.Temporal})
	pass.Transport = transport                 // no FlushInterval: it can part the head of an error, which is all there is, from its end
	pass.ErrorLog = log.New(io.Discard, "", 0) // that clients go away
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+apiKey {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Grpc-Status", "16")
			w.Header().Set("Grpc-Message", "no key")
			return
		}
		pass.ServeHTTP(w, r)
	}))
	proxy.EnableHTTP2 = true
	proxy.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: trusted, ClientAuth: tls.RequireAndVerifyClientCert}
	proxy.StartTLS()
	t.Cleanup(func() { proxy.CloseClientConnections(); proxy.Close(); transport.CloseIdleConnections() })
	s.address = proxy.Listener.Addr().String()
	return s
}

func (s secured) environment() []string {
	return []string{
		"TEMPORAL_ADDRESS=" + s.address, "TEMPORAL_API_KEY=" + apiKey, "TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + s.certificate,
		"TEMPORAL_TLS_CLIENT_CERT_PATH=" + s.certificate, "TEMPORAL_TLS_CLIENT_KEY_PATH=" + s.key,
	}
}

// startWith runs one of our programs with more in its environment.
func startWith(t *testing.T, environment []string, program string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, program), args...)
	cmd.Env = append(os.Environ(), environment...)
	return startCommand(t, cmd)
}

func TestProgramsConnectToATemporalThatRequiresCertificatesAndAKey(t *testing.T) {
	t.Parallel()
	temporal := startSecured(t)
	t.Run("worker by the environment", func(t *testing.T) {
		t.Parallel()
		worker := startWith(t, temporal.environment(), "chatfeed", "worker", "--database-url", shared.DatabaseURL, "--task-queue", "secured")
		worker.prints(t, "serving activities")
	})
	t.Run("worker without the key", func(t *testing.T) {
		t.Parallel()
		worker := startWith(t, append(temporal.environment(), "TEMPORAL_API_KEY="), "chatfeed", "worker",
			"--database-url", shared.DatabaseURL, "--task-queue", "secured")
		worker.prints(t, "no key")
	})
	t.Run("serve by a profile, with a flag over it", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "temporal.toml")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "[profile.prod]\naddress = \"127.0.0.1:1\"\napi_key = %q\n"+
			"[profile.prod.tls]\nserver_ca_cert_path = %q\nclient_cert_path = %q\nclient_key_path = %q\n",
			apiKey, temporal.certificate, temporal.certificate, temporal.key), 0o600))
		server := startWith(t, []string{"TEMPORAL_CONFIG_FILE=" + file}, "chatfeed", "serve", "--database-url", shared.DatabaseURL,
			"--listen", "127.0.0.1:0", "--temporal-profile", "prod", "--temporal-address", temporal.address)
		server.prints(t, "msg=serving")
		address := regexp.MustCompile(`address=(\S+)`).FindStringSubmatch(server.out.String())[1]
		send := start(t, "chatfeed", "send", "wf_secured", "Hello.", "--server", "http://"+address)
		require.Zero(t, send.ends(t), send.out)
	})
	t.Run("dev by the environment", func(t *testing.T) {
		t.Parallel()
		dev := startWith(t, temporal.environment(), "dev", "--listen", "127.0.0.1:0", "--postgres-port", "0")
		dev.prints(t, "Temporal is ready: "+temporal.address)
		dev.signal(t, syscall.SIGTERM)
		require.Zero(t, dev.ends(t), dev.out)
	})
}

func TestMistakesInTheSettingsOfTemporalAreNamed(t *testing.T) {
	t.Parallel()
	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(broken, []byte("no [ thing"), 0o600))
	for setting, want := range map[string]string{
		"TEMPORAL_PROFILE=nowhere":                            "--temporal-profile or TEMPORAL_PROFILE: there is no profile \"nowhere\"",
		"TEMPORAL_CONFIG_FILE=" + broken:                      "TEMPORAL_CONFIG_FILE (" + broken,
		"TEMPORAL_TLS=yes":                                    "TEMPORAL_TLS: \"yes\" is neither",
		"TEMPORAL_TLS_DISABLE_HOST_VERIFICATION=on":           "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION: \"on\" is neither",
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH=/nowhere":           "TEMPORAL_TLS_SERVER_CA_CERT_PATH: ",
		"TEMPORAL_TLS_SERVER_CA_CERT_PATH=" + broken:          "TEMPORAL_TLS_SERVER_CA_CERT_PATH: ",
		"TEMPORAL_TLS_CLIENT_CERT_PATH=" + broken:             "TEMPORAL_TLS_CLIENT_KEY_PATH: ",
		"TEMPORAL_TLS_CLIENT_KEY_PATH=" + broken:              "TEMPORAL_TLS_CLIENT_CERT_PATH: ",
		"TEMPORAL_TLS_CLIENT_CERT_DATA=not a PEM certificate": "TEMPORAL_TLS_CLIENT_KEY_PATH: ",
	} {
		for _, command := range []string{"worker", "serve"} {
			p := startWith(t, []string{setting}, "chatfeed", command, "--database-url", shared.DatabaseURL)
			require.Equal(t, 2, p.ends(t), "%s: %s", setting, p.out)
			require.Contains(t, strings.TrimSpace(p.out.String()), want)
		}
	}
}
