// Self-signed certificates for tests on loopback, valid from 2020 to 2120, made once with `openssl ca -selfsign`.
// Their keys are public: nothing but these tests may ever trust them.

/** For `localhost` and 127.0.0.1. */
export const localCertificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIBATAKBggqhkjOPQQDAjAeMRwwGgYDVQQDDBNyZWdpc3Ry
eSB0ZXN0cyBvbmx5MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAe
MRwwGgYDVQQDDBNyZWdpc3RyeSB0ZXN0cyBvbmx5MFkwEwYHKoZIzj0CAQYIKoZI
zj0DAQcDQgAErjFdCDozDbvnhmQ6JHHtsMyVQes0qRh/3H+P1HMLvEzSfLF/qw4c
sCXMv8ccuRVeSTR7m6Q0xjPom3CJtphVKKNOMEwwDwYDVR0TAQH/BAUwAwEB/zAa
BgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwHQYDVR0OBBYEFMlb3pqumgCBYrcM
rdgffXrqztQjMAoGCCqGSM49BAMCA0gAMEUCIColNwhOZTddo2yxq99UzOJPzqxr
VaPm4jsJNi9Ngxp3AiEAtLIFxlvWwd+9ZZDU+IDA3NxCG36dMR/I6CK60Uyt0Zs=
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0NnUKOJcoG6le6Di
EUYmEwlElRTov6rX+sb0Htb8zgGhRANCAASuMV0IOjMNu+eGZDokce2wzJVB6zSp
GH/cf4/Ucwu8TNJ8sX+rDhywJcy/xxy5FV5JNHubpDTGM+ibcIm2mFUo
-----END PRIVATE KEY-----
`,
};

/** For `elsewhere.example`. */
export const otherCertificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIBjjCCATWgAwIBAgIBAjAKBggqhkjOPQQDAjAnMSUwIwYDVQQDDBxyZWdpc3Ry
eSB0ZXN0cyBvbmx5LCBhbm90aGVyMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAx
MDAwMDAwWjAnMSUwIwYDVQQDDBxyZWdpc3RyeSB0ZXN0cyBvbmx5LCBhbm90aGVy
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEE6KjrJ0cmiN7njFOSblJ/weGNlt9
nmrXwfj9pC7miEEipSwliGYCUSECI2rHN5DSIeqrgYUfiXfC/g8lUpZvZqNQME4w
DwYDVR0TAQH/BAUwAwEB/zAcBgNVHREEFTATghFlbHNld2hlcmUuZXhhbXBsZTAd
BgNVHQ4EFgQUveWou/bts4lB1e/tW4t3S+oqi3IwCgYIKoZIzj0EAwIDRwAwRAIg
LpgdO4GiaPYnTxdtnKlHwE60W8D1GCKHhIUVm7iprfsCIDZwBqMAbBeuaNs4Ia1w
YzMf6YhYngp2q6uJItTe+UYa
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEAx0BXWvJ0q76KXv
b5QBxJH3S1gQgCSjUi+9RQAa5S+hRANCAAQToqOsnRyaI3ueMU5JuUn/B4Y2W32e
atfB+P2kLuaIQSKlLCWIZgJRIQIjasc3kNIh6quBhR+Jd8L+DyVSlm9m
-----END PRIVATE KEY-----
`,
};
