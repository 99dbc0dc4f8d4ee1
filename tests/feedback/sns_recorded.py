"""An envelope of Amazon SNS that OpenSSL signed (`openssl dgst -sha1 -sign`, `-sha256`) with a key of our own, and that
the package `aws-sns-message-validator` accepts."""

from typing import Any

CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIDGzCCAgOgAwIBAgIUIIAOFnCG/eTfsD3EeUcGHM2XS7IwDQYJKoZIhvcNAQEL
BQAwHDEaMBgGA1UEAwwRc25zLmFtYXpvbmF3cy5jb20wIBcNMjYxMTIxMTI1MTA1
WhgPMjEyNjEwMjgxMjUxMDVaMBwxGjAYBgNVBAMMEXNucy5hbWF6b25hd3MuY29t
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAsZ/gWCWFoG59UDOHVsSi
UEt283cbQi1621OeNyqW1spignZjqYkOEQFt6EbgTuY5nkGZl9CBmek6v87+gB3H
e61zLZJ0caET9SkEFqKs3Z4CeSLr32IoMMTDKKpFGxMLCyGG1rX66g9C4ugarJj1
OFmws25D/NGs7ilISQ1sJIv5TYGuiHmefYXYwUnZ03TJpj3oBXfVe8utY8ysfELl
g3z1gob3ruV2SnA/7qYgxueH9OkIMGRi6xcLAtE0C8l4Ypt9lrR3Idu/Mh+E0uUE
rGRQwIBpLmgtlLVkulwkSIQODGO1znaDNlareIHXxMhsU1CssXNmoRlkhbFhG06k
sQIDAQABo1MwUTAdBgNVHQ4EFgQUnGozMVDEKMfYSQw7OtRmd+0lvfgwHwYDVR0j
BBgwFoAUnGozMVDEKMfYSQw7OtRmd+0lvfgwDwYDVR0TAQH/BAUwAwEB/zANBgkq
hkiG9w0BAQsFAAOCAQEAXOgPuOt9SovrDwn8KMyXZu+8tFpIDT2nSZ4RFaOiM/Kr
/TXyk/hd68YTx06XHHO8igq8ZGKE7h3CLK/2OK0v8eAvPiCQwpKq0qU6xjrEwHIH
Lf8ANJDHMvz4vD6CaB4Zs+mCxzYkkKKXPIPbal0NaZpl0duXISe0jZuVdjv/5s9d
dffyrunro6b4li8QinCNYVBmKLQ6Sy8UBoEzIng95k+MJXXCP79eWuCS7GRpIRz4
P+AE4l6N7rdY/943JkB5n/qOHxpy3hm/J8i40+4GKKCkINq8rmZo46tk5m1OqzqE
DXIuaQQpkKpFU4E0mWHYUqtZBwUbqPzD3qQHNXMCmA==
-----END CERTIFICATE-----
"""

ENVELOPE: dict[str, Any] = {
    "Type": "Notification",
    "MessageId": "9f1c2f0e-6f0a-5b5c-8f5d-7a1b2c3d4e5f",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail",
    "Subject": "Amazon SES Email Event Notification",
    "Message": '{"eventType":"Send","mail":{"messageId":"0102","subject":"Grüße"},"send":{}}\n',
    "Timestamp": "2026-03-01T12:00:00.000Z",
    "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0000.pem",
    "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn",
}

# By version.
SIGNATURES = {
    "1": (
        "jNyjQpICUrmbt4+buODu+kDg4Lor3B6+APmmpQDFYoIBAa7NBRKgSq1rn7FTnriV/3ghf2NFgCA3dzg4Dzttj4+fegdjlsL4VXNj"
        "a4WavVCzr9MRRnrKENDKRSKeYpv3MtwmUud609cga0kZ/A+gEG4FYfdms7xhuVG1DxZs6XIZRd7n3b8niZFii7uf12M+hQ5Z3Ktv"
        "DAcDjzncs0Ma5gmCUzwH+aHPlWvmPBN+odOP488WMuLb9ng/mlEV6sIRqAt6ufS/q8agS2CxuWzC+Ty5QAFSJrfARqdMoeGEbWHN"
        "OcyGv/hHOqr4qc4RIKunWWkrjf1gDshGLaYG8Sq/yQ=="
    ),
    "2": (
        "FM7oqExEIQw11jQbIauLYsYKvDbdunsMyMUNtjzS8T9SQZ6RJWuQegRGyDsg+s2Ph5jwP+gAdn+hJFpb37fJ3gYjiV6mv+Noasa+"
        "0Mt+GZZUGYbg+Iz//m3+06zkWUUV59jglHAY86tWwgdqme1scZFgwnPQu688HLRRWeJvSrMTzxYNUGiKqyLDsC5qRi1Nx6LW2Jc4"
        "1pdAynue/qVvNnfpdoz6CX08ydy2v8ojqn4oVQBhO3CC7VwwP75YkXk8VXnRvHtTgNkMHIKCu2vlwXDcM60f2ITwfiD8wi8/NdqI"
        "ePtwVPPbzHcYxAuuaquxl+0NW5CW+SJw4qSuH47/Vw=="
    ),
}
