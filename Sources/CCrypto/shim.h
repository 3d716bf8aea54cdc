// libcrypto's digests, by the interface that stays (EVP); everything else of the library is not looked at.
#ifndef MOETOP_CCRYPTO_SHIM_H
#define MOETOP_CCRYPTO_SHIM_H

#include <openssl/evp.h>

#endif
