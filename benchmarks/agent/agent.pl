#!/usr/bin/perl
# Replies to each request as an idle agent, and queries the broker's status every 2 seconds over one connection, as agents do.
use strict;
use warnings;
use IO::Socket::INET;

my ($host, $port) = $ENV{PROVER_BROKER_HOST} =~ m{//([^:/]+):(\d+)} or die "PROVER_BROKER_HOST is not a URL with a port\n";
my $parent = $$;
if (fork() == 0) {
    $SIG{PIPE} = 'IGNORE';
    while (getppid() == $parent) {
        my $broker = IO::Socket::INET->new(PeerAddr => $host, PeerPort => $port, Timeout => 5);
        while ($broker && getppid() == $parent) {
            print $broker "GET /status HTTP/1.1\r\nHost: $host\r\n\r\n";
            sysread($broker, my $reply, 4096) or last;
            sleep 2;
        }
        sleep 2;
    }
    exit 0;
}

$SIG{TERM} = sub { exit 0 };
my $server = IO::Socket::INET->new(LocalPort => $ENV{AZTEC_PORT}, Listen => 20, ReuseAddr => 1) or die "cannot listen: $!\n";
while (my $client = $server->accept) {
    my ($length, $id) = (0, 0);
    while (defined(my $line = <$client>)) {
        $length = $1 if $line =~ /^content-length:\s*(\d+)/i;
        last if $line =~ /^\r?\n$/;
    }
    read $client, my $body, $length if $length;
    $id = $1 if defined $body && $body =~ /"id"\s*:\s*(\d+)/;
    my $reply = qq({"jsonrpc":"2.0","id":$id,"result":{"status":"running"}});
    print $client "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ", length $reply, "\r\n";
    print $client "Connection: close\r\n\r\n$reply";
    close $client;
}
