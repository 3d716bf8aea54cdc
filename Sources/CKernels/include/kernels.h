#ifndef MOETOP_KERNELS_H
#define MOETOP_KERNELS_H
#endif
