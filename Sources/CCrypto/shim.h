// libcrypto's digests, by the interface that stays (EVP), and its version; everything else of the library is not looked at.
#ifndef MOETOP_CCRYPTO_SHIM_H
#define MOETOP_CCRYPTO_SHIM_H

#include <openssl/crypto.h>
#include <openssl/evp.h>

#endif
