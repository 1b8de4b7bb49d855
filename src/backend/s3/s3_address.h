/* SPDX-License-Identifier: Apache-2.0
 * Where a bucket is and for what requests to it are signed: the host's name from bucket, region and endpoint, by the
 * rules of AWS. A bucket is a name, an alias, or the ARN of an access point. Pure: no I/O, any thread.
 * docs.aws.amazon.com/general/latest/gr/s3.html, …/AmazonS3/latest/userguide/VirtualHosting.html,
 * …/userguide/access-points-naming.html, …/userguide/s3-express-networking.html */
#ifndef ORB_BACKEND_S3_ADDRESS_H
#define ORB_BACKEND_S3_ADDRESS_H

#include <orbit/backend.h>

enum { ORB_S3_REGION_MAX = 64, ORB_S3_AUTHORITY_MAX = 256 };

struct orb_s3_address_request {
    const char *bucket;   /* "": the service */
    const char *region;   /* the client's */
    const char *endpoint; /* "host" or "host:port"; NULL: AWS */
    uint32_t addressing;  /* orbit_addressing */
    bool secure;
    bool is_aws;        /* of an endpoint that is given: what names mean to AWS they mean to it */
    bool virtual_hosts; /* what ORBIT_ADDRESSING_AUTO means there */
    bool dualstack, fips, accelerate;
    bool own_region_only; /* an ARN of another region is refused */
};

struct orb_s3_address {
    char authority[ORB_S3_AUTHORITY_MAX]; /* of requests, as in the Host header */
    char region[ORB_S3_REGION_MAX];       /* that they are signed for */
    const char *service;                  /* and this: "s3", "s3-outposts", "s3-object-lambda", "s3express" */
    bool path_style;                      /* the bucket's name goes before the key */
    bool is_arn;                          /* the bucket is no name, and its region stands fast */
    bool is_directory;                    /* a directory bucket: S3 Express One Zone */
};

/* ORBIT_E_CONFIG for what does not go together, ORBIT_E_UNSUPPORTED for what AWS has and Orbit has not. */
orbit_status orb_s3_address_find(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                 orbit_error *error);
/* Where a bucket is made and removed: not everywhere that it is used. */
orbit_status orb_s3_address_control(struct orb_s3_address *address, const struct orb_s3_address_request *request,
                                    orbit_error *error);
/* The zone of a directory bucket, "usw2-az1" of "name--usw2-az1--x-s3"; false when the name is not one's. */
bool orb_s3_directory_zone(const char *bucket, char *zone, size_t room);

#endif
