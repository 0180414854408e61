package program

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	temporallog "go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"chatfeed/activities"
)

// Temporal is the flags of the commands that connect to Temporal. Other settings, such as TLS, certificates and API keys, are
// taken from the environment variables and then the profile that Temporal's own programs use.
type Temporal struct {
	TemporalAddress   string `help:"Temporal's frontend. Default: TEMPORAL_ADDRESS, the profile, or 127.0.0.1:7233." placeholder:"HOST:PORT"`
	TemporalNamespace string `help:"Temporal namespace. Default: TEMPORAL_NAMESPACE, the profile, or default." placeholder:"NAME"`
	TemporalProfile   string `help:"Profile of Temporal's configuration file. Default: TEMPORAL_PROFILE, or default." placeholder:"NAME"`

	// Local is set for a server that this program runs itself: the environment and the profile are then ignored.
	Local bool `kong:"-"`
}

// ClientOptions returns how to connect. An error is a usage error that names the flag or variable.
func (c Temporal) ClientOptions(log *slog.Logger) (client.Options, error) {
	var profile envconfig.ClientConfigProfile
	if !c.Local {
		var err error
		if profile, err = c.profile(); err != nil {
			return client.Options{}, err
		}
	}
	options, err := profile.ToClientOptions(envconfig.ToClientOptionsRequest{})
	if err != nil {
		return client.Options{}, usagef("%s: %v", tlsSetting(profile.TLS, err), err)
	}
	options.HostPort = cmp.Or(c.TemporalAddress, options.HostPort, client.DefaultHostPort)
	options.Namespace = cmp.Or(c.TemporalNamespace, options.Namespace, client.DefaultNamespace)
	options.Logger = temporallog.NewStructuredLogger(log)
	options.DataConverter = activities.DataConverter()
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(dropUnsendableHeader))
	return options, nil
}

// profile returns the configuration file's profile, overridden by the environment.
func (c Temporal) profile() (envconfig.ClientConfigProfile, error) {
	var profile envconfig.ClientConfigProfile
	for _, name := range []string{"TEMPORAL_TLS", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION"} {
		value := os.Getenv(name) // an invalid value would be ignored, and TLS might be off
		if value != "" && !slices.Contains([]string{"0", "1", "false", "true"}, strings.ToLower(value)) {
			return profile, usagef("%s: %q is neither true nor false; true, false, 1 and 0 are accepted", name, value)
		}
	}
	config, err := envconfig.LoadClientConfig(envconfig.LoadClientConfigOptions{ConfigFileStrict: true})
	if err != nil {
		file := cmp.Or(os.Getenv("TEMPORAL_CONFIG_FILE"), envconfig.DefaultConfigFilePath())
		return profile, usagef("TEMPORAL_CONFIG_FILE (%s): %v", file, err)
	}
	wanted := cmp.Or(c.TemporalProfile, os.Getenv("TEMPORAL_PROFILE"))
	found := config.Profiles[cmp.Or(wanted, envconfig.DefaultConfigFileProfile)]
	if found == nil && wanted != "" {
		return profile, usagef("--temporal-profile or TEMPORAL_PROFILE: there is no profile %q in Temporal's configuration file", wanted)
	}
	if found != nil {
		profile = *found
	}
	if err := profile.ApplyEnvVars(nil); err != nil {
		return profile, usagef("TEMPORAL_ variables: %v", err)
	}
	return profile, nil
}

// tlsSetting names the variable that an error of the TLS settings is about. The profile has the same settings under tls.
func tlsSetting(t *envconfig.ClientConfigTLS, err error) string {
	const certificate, key, ca = "TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_SERVER_CA_CERT_PATH"
	var unread *fs.PathError
	switch errors.As(err, &unread); {
	case unread != nil && unread.Path == t.ServerCACertPath, strings.Contains(err.Error(), "server CA"):
		return ca
	case unread != nil && unread.Path == t.ClientKeyPath, t.ClientKeyPath == "" && len(t.ClientKeyData) == 0:
		return key
	}
	return certificate
}

// lazyClient connects when it is first used, so that Temporal may be unavailable until then.
func (c Temporal) lazyClient(log *slog.Logger) (client.Client, error) {
	options, err := c.ClientOptions(log)
	if err != nil {
		return nil, err
	}
	temporal, err := client.NewLazyClient(options)
	if err != nil {
		return nil, usagef("--temporal-address %s: %v", options.HostPort, err)
	}
	return temporal, nil
}

// resourceHeader is the header with a workflow's id, which the SDK sets for routing in proxies.
const resourceHeader = "temporal-resource-id"

// dropUnsendableHeader removes resourceHeader if gRPC cannot send it: headers may have printable ASCII characters only, and a
// workflow's id may be in any script. The id is in the request anyway.
func dropUnsendableHeader(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	if headers, ok := metadata.FromOutgoingContext(ctx); ok {
		unsendable := func(r rune) bool { return r < ' ' || r > '~' }
		if strings.ContainsFunc(strings.Join(headers.Get(resourceHeader), ""), unsendable) {
			headers.Delete(resourceHeader)
			ctx = metadata.NewOutgoingContext(ctx, headers)
		}
	}
	return invoke(ctx, method, request, reply, conn, options...)
}
