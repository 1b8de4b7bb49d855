#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A private authority and certificates for tests, made with the openssl command. Nothing is trusted by the system.
#
#   tls.sh make DIR   ca.pem ca.key              the authority
#                     server.pem server.key      for localhost, *.localhost and 127.0.0.1, signed by it
#                     expired.pem expired.key    the same names, expired
#                     stranger.pem stranger.key  for another name
#                     client.pem client.key      of somebody who connects
# What is there already and still valid is kept.
set -eu

[ $# -eq 2 ] && [ "$1" = make ] || {
    echo "usage: tls.sh make DIR" >&2
    exit 2
}
mkdir -p "$2"
cd "$2"
if [ -s client.pem ] && openssl x509 -in server.pem -noout -checkend 86400 >/dev/null 2>&1; then
    exit 0
fi

key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null
    chmod 600 "$1"
}

key ca.key
openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=Orbit test authority" -out ca.pem \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null

cat >ca.cnf <<CNF
[ca]
default_ca = authority
[authority]
new_certs_dir = .
database = index.txt
serial = serial
default_md = sha256
policy = policy
unique_subject = no
rand_serial = yes
copy_extensions = none
[policy]
commonName = supplied
CNF
: >index.txt

certify() { # certify NAME SUBJECT NAMES START END [USAGE]
    key "$1.key"
    printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=%s\n' "$3" "${6:-serverAuth}" >"$1.ext"
    openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr" 2>/dev/null
    openssl ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in "$1.csr" -out "$1.pem" -extfile "$1.ext" \
        -startdate "$4" -enddate "$5" -notext 2>ca.log || {
        cat ca.log >&2
        exit 1
    }
    rm -f "$1.csr" "$1.ext"
}

from=$(date -u -d '2 days ago' +%Y%m%d%H%M%SZ)
names='DNS:localhost,DNS:*.localhost,IP:127.0.0.1'
certify server localhost "$names" "$from" "$(date -u -d '3650 days' +%Y%m%d%H%M%SZ)"
certify expired localhost "$names" "$from" "$(date -u -d '1 day ago' +%Y%m%d%H%M%SZ)"
certify stranger other.invalid DNS:other.invalid "$from" "$(date -u -d '3650 days' +%Y%m%d%H%M%SZ)"
certify client orbit-client DNS:client.invalid "$from" "$(date -u -d '3650 days' +%Y%m%d%H%M%SZ)" clientAuth
rm -f index.txt* ca.cnf ca.log ./*.old
find . -maxdepth 1 -regex './[0-9A-F]+\.pem' -delete
