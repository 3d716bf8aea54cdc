# Source this before train.py. Freed memory stays in the process and in huge pages (page faults cost a third of a step
# otherwise), compiled matrix kernels are kept, and waiting threads sleep so that other work gets the cores.
export MALLOC_MMAP_THRESHOLD_=4294967295 MALLOC_TRIM_THRESHOLD_=17179869184 MALLOC_TOP_PAD_=268435456
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
export ONEDNN_PRIMITIVE_CACHE_CAPACITY=16384
export OMP_WAIT_POLICY=passive
